"""Checkpoints that exist whole or not at all and from which training continues bit by bit.

A checkpoint is the folder of a generator, made of the averaged weights, which animates as it lies; `engine/` with what
the next step depends on; and `training.json`. Randomness is not stored: each step draws from generators seeded by
(run seed, step, micro-batch).
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from emosh_core.durable import durable_directory, sweep
from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.training.engine import Engine

KEEP = 2
"""Newest checkpoints that stay."""


def checkpoint_path(run_dir: Path, step: int) -> Path:
    """Return where the checkpoint after `step` steps of all phases lies."""
    return run_dir / "checkpoints" / f"step_{step:07d}"


def save_checkpoint(run_dir: Path, state: dict, engine: Engine, write: Callable[[Path], None] | None) -> Path:
    """Write a checkpoint; older ones but the newest few go. Every rank calls this, the first one writes.

    Args:
        state: `step` and `config`.
        write: writes the generator into a folder; None on ranks that do not write.
    """
    path = checkpoint_path(run_dir, state["step"])
    if write is None:
        engine.save(path / "engine")
        return path
    with durable_directory(path) as folder:
        write(folder)
        (folder / "engine").mkdir()
        engine.save(folder / "engine")
        (folder / "training.json").write_text(json.dumps(state, indent=2) + "\n")
    for old in sorted(path.parent.glob("step_*"))[:-KEEP]:
        shutil.rmtree(old)
    return path


def newest_checkpoint(run_dir: Path, *, tidy: bool = True) -> Path | None:
    """Return the newest whole checkpoint, None in a fresh run.

    Args:
        tidy: sweep what a killed run left; for one rank only.
    """
    folder = run_dir / "checkpoints"
    if not folder.is_dir():
        return None
    if tidy:
        sweep(folder)
    found = sorted(folder.glob("step_*"))
    return found[-1] if found else None


def read_state(path: Path) -> dict:
    """Return the `step` and the `config` of a checkpoint."""
    try:
        state = json.loads((path / "training.json").read_text())
        return {key: state[key] for key in ("step", "config")}
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError("a checkpoint cannot be read", found=f"{path}: {error}", fix=f"delete {path}") from error


def check_same(stored: dict, wanted: dict, *, except_for: set[str]) -> None:
    """Refuse to continue a run with settings that would have made another run."""
    for key in sorted(stored.keys() | wanted.keys()):
        before, now = stored.get(key), wanted.get(key)
        if key not in except_for and before != now:
            raise ConfigError(
                f"the run was started with another {key}",
                found=f"{before} then, {now} now",
                fix="go back to that, choose another name, or use --force to start over",
            )
