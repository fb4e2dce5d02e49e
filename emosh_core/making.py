"""What a stage is given besides its inputs, when the line runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Making:
    """What a step is given when it is made."""

    scratch: Path
    """Survives a killed run, so that the next one continues."""
    media: Callable[[str], Path]
    """Suffix to the path of a file for people to look at, in the workspace's `media/`."""
    device: str
    progress: Callable[[int, int], None] | None
    note: Callable[[str], None]
    """Takes what a person should know about the result; it is said and kept with the artifact."""
