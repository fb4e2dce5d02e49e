"""Artifacts of a workspace that exist whole or not at all, whoever is killed and whoever else writes.

One lock per artifact; only its holder writes `.emosh/tmp/<stage>-<fingerprint>` and
`.emosh/replaced/<stage>-<fingerprint>/`, so whatever lies there while the lock is free was left by a
process that died.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from emosh_core.durable import durable_file, flush_tree, rename
from emosh_core.errors import ArtifactError
from emosh_core.workspace import layout

ABANDONED = 3600
"""Age [s] at which a temporary file of an input or a cache belongs to nobody; writing one takes moments."""


def fingerprint(stage: str, schema: int, settings: dict[str, Any], inputs: list[str], models: dict[str, str]) -> str:
    """Return the 12 hexadecimal digits that name a stage's result.

    Args:
        stage: name of the stage.
        schema: schema version of what it writes.
        settings: those that can change the result.
        inputs: digests of files or fingerprints of artifacts, in order.
        models: name and digest of every model the stage uses.
    """
    text = json.dumps([stage, schema, settings, inputs, models], sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Store:
    """The artifacts under one root folder."""

    def __init__(self, root: Path):
        self.root = root
        self._private = root / layout.PRIVATE

    def find(self, stage: str, print_: str) -> Path | None:
        """Return the artifact of a stage with this fingerprint, whatever its name."""
        found = sorted(layout.stage_folder(self.root, stage).glob(f"*-{print_}.zarr"))
        return found[0] if found else None

    def artifacts(self, stage: str) -> list[Path]:
        """Return all artifacts of a stage, the newest last."""
        found = layout.stage_folder(self.root, stage).glob("*-*.zarr")
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def scratch(self, stage: str, print_: str) -> Path:
        """Return a folder for unfinished work on an artifact; it outlives a killed run, `commit` removes it."""
        folder = self._private / "work" / f"{stage}-{print_}"
        with writable(self.root):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextlib.contextmanager
    def lock(self, stage: str, print_: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold an artifact's lock; calls `waiting` once if another process holds it."""
        lock = self._lock(stage, print_)
        from filelock import Timeout

        with writable(self.root):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if waiting is not None:
                    waiting()
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def commit(self, stage: str, name: str, print_: str, write: Callable[[Path], None]) -> Path:
        """Write an artifact and put it in its place; the caller holds the lock.

        Args:
            write: writes the artifact to the path that it is given.
        """
        temporary = self._private / "tmp" / f"{stage}-{print_}"
        with writable(self.root):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            flush_tree(temporary)
            final = self.find(stage, print_) or layout.artifact_path(self.root, stage, name, print_)
            final.parent.mkdir(parents=True, exist_ok=True)
            self._replace(temporary, final, self._private / "replaced" / f"{stage}-{print_}" / final.name)
            shutil.rmtree(self._private / "work" / f"{stage}-{print_}", ignore_errors=True)
        return final

    def recover(self) -> None:
        """Clear up after killed processes: remove half-written files and artifacts, put half-replaced ones back."""
        self._sweep()
        for entry in [*self._entries("tmp"), *self._entries("replaced")]:
            stage, _, print_ = entry.name.rpartition("-")
            if stage not in layout.ARTIFACT_FOLDERS:
                continue
            with self._if_free(stage, print_) as free:
                if free:
                    self._restore(entry, stage)
                    shutil.rmtree(entry, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove temporary files that nobody can be writing any more."""
        for temporary in [*(self.root / layout.INPUTS).glob(".*"), *self._private.glob(".tmp-*")]:
            with contextlib.suppress(OSError):  # another process sweeps too, or we may only read
                if time.time() - temporary.lstat().st_ctime > ABANDONED:
                    temporary.unlink()

    def _entries(self, kind: str) -> list[Path]:
        folder = self._private / kind
        return list(folder.iterdir()) if folder.is_dir() else []

    def _restore(self, entry: Path, stage: str) -> None:
        if entry.parent.name != "replaced":
            return
        for old in entry.iterdir():
            final = layout.stage_folder(self.root, stage) / old.name
            if not final.exists():
                rename(old, final)

    @staticmethod
    def _replace(new: Path, final: Path, old: Path) -> None:
        # A folder cannot be swapped in one step: the old one waits where `recover` finds it.
        if final.exists():
            old.parent.mkdir(parents=True, exist_ok=True)
            rename(final, old)
        rename(new, final)
        shutil.rmtree(old.parent, ignore_errors=True)

    def _lock(self, stage: str, print_: str):
        from filelock import FileLock

        folder = self._private / "locks"
        with writable(self.root):
            folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{stage}-{print_}.lock")

    @contextlib.contextmanager
    def _if_free(self, stage: str, print_: str) -> Iterator[bool]:
        from filelock import Timeout

        lock = self._lock(stage, print_)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


@contextlib.contextmanager
def writable(root: Path) -> Iterator[None]:
    """Turn a failure to write into an error that names the workspace."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"cannot write to the workspace {root}",
            found=f"{error.strerror or error}: {error.filename or root}",
            fix="check permissions and free space, or choose another folder",
        ) from error


class Digests:
    """SHA-256 of files, remembered by path, size and time of change."""

    def __init__(self, file: Path):
        self._file = file

    def sha256(self, path: Path) -> str:
        """Return the digest of a file, or of all files under a folder (their paths and contents)."""
        if path.is_dir():
            inside = sorted(entry for entry in path.rglob("*") if entry.is_file())
            parts = [f"{entry.relative_to(path)} {self.sha256(entry)}" for entry in inside]
            return hashlib.sha256("\n".join(parts).encode()).hexdigest()
        stat, key = path.stat(), str(path.resolve())
        known = self._load()
        stamp = [stat.st_size, stat.st_mtime_ns]
        if known.get(key, [None])[:2] == stamp:
            return known[key][2]
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if self._file.parent.parent.is_dir():
            with contextlib.suppress(OSError):  # only a cache: looking at a workspace needs no right to write
                self._remember(key, [*stamp, digest])
        return digest

    def _remember(self, key: str, entry: list) -> None:
        with durable_file(self._file) as temporary:
            temporary.write_text(json.dumps(self._load() | {key: entry}, indent=0), encoding="utf-8")

    def _load(self) -> dict[str, list]:
        try:
            return json.loads(self._file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # a cache: what cannot be read is computed again
            return {}


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` the same file as `source` by a hard link, or a copy where the file system refuses."""
    if target.exists():
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copy2(source, temporary)
    os.replace(temporary, target)
    temporary.unlink(missing_ok=True)  # renaming one link to another of the same file does nothing


def copy_file(source: Path, target: Path) -> None:
    """Copy a file; the copy appears whole under its name or not at all."""
    with durable_file(target) as temporary:
        shutil.copyfile(source, temporary)
