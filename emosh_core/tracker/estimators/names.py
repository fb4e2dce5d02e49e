"""What a user may name: estimators, and result files of GVHMR; light, because plans are made without torch."""

from pathlib import Path

from emosh_core.errors import ArtifactError, ConfigError

ROLES = {
    "mediapipe": "detector", "dwpose": "detector", "gvhmr": "body", "hamer": "hands", "wilor": "hands",
    "teaser": "face", "smirk": "face",
}  # fmt: skip
"""Each estimator and what it answers for; one per role."""

WEIGHTS = {"mediapipe": (), "dwpose": ("dwpose-det", "dwpose-pose")}
"""Kinds of weights in `emosh_core.models` that an estimator reads; the others read the one of their own name."""

GVHMR_RESULT = "hmr4d_results.pt"
EXAMPLE = "--set estimator=dwpose,hamer,teaser"


def parse_estimators(text: str, source: Path | None = None) -> dict[str, str]:
    """Read a comma-separated choice; returns the estimator of each role that was named.

    The detector is MediaPipe unless another is named. GVHMR reads motion: for stills it is left out, so that
    one choice serves a driving clip and the reference picture.

    Args:
        text: the choice as users write it.
        source: what it is for, if that is known.

    Raises:
        ConfigError: a name is unknown, or two have the same role.
    """
    chosen: dict[str, str] = {}
    for name in filter(None, (word.strip() for word in text.split(","))):
        if name not in ROLES:
            raise ConfigError(f"there is no estimator {name!r}", found=", ".join(ROLES), fix=EXAMPLE)
        role = ROLES[name]
        if chosen.setdefault(role, name) != name:
            raise ConfigError(f"two estimators for one {role}", found=f"{chosen[role]} and {name}", fix=EXAMPLE)
    if source is not None and "body" in chosen and _is_still(source):
        del chosen["body"]
    return {"detector": "mediapipe"} | chosen


def _is_still(source: Path) -> bool:
    from emosh_core.video_io import IMAGE_SUFFIXES

    return source.is_dir() or source.suffix.lower() in IMAGE_SUFFIXES


def weights_of(text: str, source: Path | None = None, gvhmr_results: str = "") -> list[str]:
    """Return the kinds of weights that a choice reads; result files of GVHMR take the place of its checkpoint."""
    names = parse_estimators(text, source).values()
    kinds = [kind for name in names for kind in WEIGHTS.get(name, (name,))]
    return [kind for kind in kinds if kind != "gvhmr" or not gvhmr_results]


def find_result(path: Path, clip: Path) -> Path:
    """Return GVHMR's result for a clip, from the file itself or the folder that was named.

    Raises:
        ArtifactError: there is none.
    """
    if path.is_file():
        return path
    tried = [path / clip.stem / GVHMR_RESULT, path / f"{clip.stem}.pt", path / f"{clip.stem}.npz"]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    found = f"neither {' nor '.join(map(str, tried))}" if path.is_dir() else f"there is no {path}"
    fix = f"run GVHMR on it and name its {GVHMR_RESULT}"
    raise ArtifactError(f"no GVHMR result for {clip.name}", found=found, fix=fix)
