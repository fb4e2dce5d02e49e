"""Names of the estimators that a user may choose; light, because settings are checked before torch is loaded."""

from emosh_core.errors import ConfigError

ROLES = {
    "mediapipe": "detector", "dwpose": "detector", "gvhmr": "body", "hamer": "hands", "wilor": "hands",
    "teaser": "face", "smirk": "face",
}  # fmt: skip
"""Each estimator and what it answers for; one per role."""

WEIGHTS = {"mediapipe": (), "dwpose": ("dwpose-det", "dwpose-pose")}
"""Kinds of weights in `emosh_core.models` that an estimator reads; the others read the one of their own name."""

EXAMPLE = "--set estimator=dwpose,hamer,teaser"


def parse_estimators(text: str) -> dict[str, str]:
    """Read a comma-separated choice; returns the estimator of each role that was named.

    The detector is MediaPipe unless another is named.

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
    return {"detector": "mediapipe"} | chosen


def weights_of(text: str, gvhmr_results: str = "") -> list[str]:
    """Return the kinds of weights that a choice reads; result files of GVHMR take the place of its checkpoint."""
    names = parse_estimators(text).values()
    kinds = [kind for name in names for kind in WEIGHTS.get(name, (name,))]
    return [kind for kind in kinds if kind != "gvhmr" or not gvhmr_results]
