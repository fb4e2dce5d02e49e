"""Files and folders that exist whole or not at all, also after a crash.

Both context managers hand out a temporary neighbour of the final name; leaving the block without
an exception flushes it to the disk and renames it into place.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = ".tmp-"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """Bring a folder and everything in it to the disk."""
    for entry in [*folder.rglob("*"), folder]:
        _flush(entry)


def rename(source: Path, target: Path) -> None:
    """Rename and bring the new name to the disk."""
    os.rename(source, target)
    _flush(target.parent)


def _neighbour(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent / f"{_TEMPORARY}{path.name}-{os.getpid()}"


@contextmanager
def durable_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file replaces `path` when the block ends well."""
    temporary = _neighbour(path)
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def durable_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes `path`, which must not exist, when the block ends well."""
    temporary = _neighbour(path)
    temporary.mkdir()
    try:
        yield temporary
        flush_tree(temporary)
        rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path, name: str = "") -> None:
    """Remove what killed runs left half-written in a folder, of one final name or of all."""
    for entry in folder.glob(f"{_TEMPORARY}{name}-*" if name else f"{_TEMPORARY}*"):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
