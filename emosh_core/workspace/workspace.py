"""A workspace: one folder with settings, inputs, artifacts, media and unfinished work."""

import json
from dataclasses import dataclass
from pathlib import Path

from emosh_core.durable import durable_file
from emosh_core.errors import ArtifactError
from emosh_core.workspace import layout
from emosh_core.workspace.store import Digests, Store, copy_file, link_or_copy, writable


@dataclass(frozen=True, kw_only=True)
class Input:
    """A file that was given to the workspace."""

    path: Path
    """Where the workspace keeps it."""
    name: str
    """File name part of its artifacts, from the name under which it was given."""
    sha256: str


class Workspace(Store):
    """Opened with `Workspace.open` or `Workspace.create`."""

    def __init__(self, root: Path):
        super().__init__(root)
        self._digests = Digests(root / layout.PRIVATE / "digests.json")

    @classmethod
    def open(cls, root: Path) -> "Workspace":
        """Open an existing workspace; clears up after processes that were killed."""
        if not root.exists():
            raise ArtifactError(f"there is no such workspace: {root}", found="no such folder", fix=f"emosh init {root}")
        if not (root / layout.SETTINGS).is_file():
            found = f"a folder without {layout.SETTINGS}" if root.is_dir() else "a file"
            raise ArtifactError(f"not a workspace: {root}", found=found, fix="emosh init FOLDER")
        workspace = cls(root)
        workspace.recover()
        return workspace

    @classmethod
    def create(cls, root: Path, *, examples: bool = False) -> "Workspace":
        """Create a workspace from the template, or open it; files that exist are left as they are.

        Args:
            examples: bring the template's example media too.
        """
        template = template_folder()
        with writable(root):
            for folder in layout.FOLDERS:
                (root / folder).mkdir(parents=True, exist_ok=True)
            for source in template.rglob("*"):
                target = root / source.relative_to(template)
                wanted = examples or layout.INPUTS not in source.relative_to(template).parts
                if source.is_file() and wanted and not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    copy_file(source, target)
        return cls.open(root)

    @property
    def settings_file(self) -> Path:
        """The workspace's TOML file."""
        return self.root / layout.SETTINGS

    @property
    def media(self) -> Path:
        """Folder of what people look at."""
        return self.root / layout.MEDIA

    def identify(self, path: Path) -> Input:
        """Return what a file, or a folder of files, is called in the workspace, without keeping it yet."""
        digest = self.sha256(existing(path))
        kept = self.root / layout.INPUTS / f"{digest[:16]}{path.suffix.lower() if path.is_file() else ''}"
        name = path.stem if path.is_file() else path.resolve().name
        return Input(path=kept, name=layout.safe_name(name), sha256=digest)

    def add_input(self, path: Path) -> Input:
        """Keep a file, or a folder of files, under its content's name and return it."""
        given = self.identify(path)
        with writable(self.root):
            given.path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                self._keep(path, given.path)
            else:
                given.path.mkdir(exist_ok=True)
                for entry in sorted(path.iterdir()):
                    if entry.is_file():
                        self._keep(entry, given.path / entry.name)
        self._remember_name(given.path.name, path.name)
        return given

    def _keep(self, source: Path, kept: Path) -> None:
        # A hard link follows its file when that is changed in place: then the name is free for the right content.
        if kept.exists() and self.sha256(kept) != self.sha256(source):
            kept.unlink()
        link_or_copy(source, kept)

    def sha256(self, path: Path) -> str:
        """Return a file's digest; unchanged files are not read again."""
        return self._digests.sha256(path)

    def has_consent(self) -> bool:
        """Say whether somebody confirmed that the people shown agree."""
        return (self.root / layout.PRIVATE / "consent.json").is_file()

    def record_consent(self, how: str) -> None:
        """Remember that consent was confirmed, and how."""
        from datetime import UTC, datetime

        file = self.root / layout.PRIVATE / "consent.json"
        with writable(self.root), durable_file(file) as temporary:
            record = {"confirmed": datetime.now(UTC).isoformat(timespec="seconds"), "how": how}
            temporary.write_text(json.dumps(record), encoding="utf-8")

    def _remember_name(self, kept: str, given: str) -> None:
        file = self.root / layout.INPUTS / "names.json"
        names = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if given in names.get(kept, []):
            return
        names[kept] = [*names.get(kept, []), given]
        with writable(self.root), durable_file(file) as temporary:
            temporary.write_text(json.dumps(names, indent=1), encoding="utf-8")


def existing(path: Path) -> Path:
    """Return a path that a user gave, or say that nothing is there."""
    if not path.exists():
        raise ArtifactError(f"no such file: {path}", fix="check the path; it is taken relative to the current folder")
    return path


def template_folder() -> Path:
    """Return the workspace template: beside this file in a wheel, at the root of a source tree otherwise."""
    packaged = Path(__file__).parent / "template"
    source = Path(__file__).parents[2] / "workspace_template"
    for folder in (packaged, source):
        if (folder / layout.SETTINGS).is_file():
            return folder
    raise ArtifactError(
        "the workspace template is missing", found=str(packaged), fix="pip install --force-reinstall emosh"
    )
