"""Errors that a user can act on: what is wrong, what was found, what to do."""


class EmoshError(Exception):
    """Base of every error that is the user's to fix.

    Args:
        what: what is wrong, one sentence.
        found: what was found, so that the user can recognise it.
        fix: what to do: a real command, file or key.
    """

    exit_code = 1

    def __init__(self, what: str, *, found: str = "", fix: str = ""):
        self.what, self.found, self.fix = what, found, fix
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.found:
            lines.append(f"  found: {self.found}")
        if self.fix:
            lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)


class ConfigError(EmoshError):
    """A setting, option or configuration file is wrong."""

    exit_code = 2


class ArtifactError(EmoshError):
    """An input file or an artifact is missing, unreadable or unsuitable."""

    exit_code = 3


class AssetError(EmoshError):
    """A body model or a weight file is missing or is not what it should be."""

    exit_code = 4


class DeviceError(EmoshError):
    """The device cannot do what was asked: absent, unsupported or out of memory."""

    exit_code = 5


class MissingDependencyError(EmoshError):
    """An optional package is needed; `fix` names the extra that installs it."""

    exit_code = 6
