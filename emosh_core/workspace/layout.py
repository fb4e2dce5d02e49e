"""Names of folders and artifacts in a workspace."""

from pathlib import Path

SETTINGS = "emosh.toml"
INPUTS = "inputs"
MEDIA = "media"
RUNS = "runs"
PRIVATE = ".emosh"

ARTIFACT_FOLDERS = {"track": "track", "retarget": "retarget", "render-cond": "cond", "animate": "animate"}
"""Stage and the folder of its artifacts under `artifacts/`, in the order of the line."""

FOLDERS = [INPUTS, MEDIA, RUNS, *(f"artifacts/{folder}" for folder in ARTIFACT_FOLDERS.values())]


def stage_folder(root: Path, stage: str) -> Path:
    """Return where the artifacts of a stage lie."""
    return root / "artifacts" / ARTIFACT_FOLDERS[stage]


def artifact_path(root: Path, stage: str, name: str, fingerprint: str) -> Path:
    """Return the path of one artifact, `artifacts/<stage>/<name>-<fingerprint>.zarr`."""
    return stage_folder(root, stage) / f"{name}-{fingerprint}.zarr"


def artifact_name(path: Path) -> str:
    """Return the name part of an artifact's file name."""
    return path.stem.rpartition("-")[0]


def stage_of(path: Path) -> str:
    """Return the stage that wrote an artifact, from its folder."""
    return {folder: stage for stage, folder in ARTIFACT_FOLDERS.items()}[path.parent.name]


def root_of(artifact: Path) -> Path | None:
    """Return the workspace in which an artifact lies; None if it lies elsewhere."""
    roots = [folder for folder in artifact.parents if (folder / SETTINGS).is_file()]
    return roots[0] if roots and artifact.parent.parent == roots[0] / "artifacts" else None


def safe_name(text: str) -> str:
    """Return a text as a file name part: letters, digits, dot, dash and underscore."""
    kept = "".join(c if c.isalnum() or c in "._-" else "_" for c in text).strip(".")
    return kept[:60] or "unnamed"
