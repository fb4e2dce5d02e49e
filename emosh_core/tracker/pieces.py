"""Finished pieces of work on disk: a process that is killed leaves each of them whole or not at all."""

import os
from pathlib import Path

import numpy as np


def keep(scratch: Path | None, name: str, values: dict[str, np.ndarray]) -> None:
    """Save a piece under a name; without a folder nothing is saved."""
    if scratch is None:
        return
    part = scratch / f".{name}.{os.getpid()}.npz"
    np.savez(part, **values)
    os.replace(part, scratch / f"{name}.npz")


def kept(scratch: Path | None, name: str, kind):
    """Load a piece that an earlier run finished as `kind(**arrays)`, or return None."""
    if scratch is None or not (scratch / f"{name}.npz").exists():
        return None
    with np.load(scratch / f"{name}.npz", allow_pickle=False) as data:
        return kind(**{k: data[k] for k in data.files})
