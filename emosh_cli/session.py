"""What every stage command does around its stage: settings, workspace, plan, run, summary."""

from pathlib import Path
from typing import Any

from emosh_cli.console import Console, print_json, print_table
from emosh_core.config import load_settings
from emosh_core.device import check_device
from emosh_core.errors import ConfigError
from emosh_core.line import Line, Step
from emosh_core.settings import SECTIONS
from emosh_core.workspace import layout
from emosh_core.workspace.artifact import read_header
from emosh_core.workspace.workspace import Workspace


class Session:
    """One command's workspace, settings and way of talking."""

    def __init__(
        self, workspace: Workspace, section: str, *, config: Path | None = None, overrides: list[str] | None = None,
        device: str = "auto", force: bool = False, dry_run: bool = False, json: bool = False, quiet: bool = False,
        verbose: bool = False,
    ):  # fmt: skip
        check_device(device)
        self.workspace, self.section, self.device = workspace, section, device
        self.force, self.dry_run, self.json = force, dry_run, json
        self.console = Console(quiet=quiet, verbose=verbose)
        file = config or (workspace.settings_file if workspace.settings_file.is_file() else None)
        self.settings = load_settings(SECTIONS, file=file, overrides=overrides or (), section=section)

    @property
    def line(self) -> Line:
        """The workspace's line under the settings."""
        return Line(self.workspace, self.settings)

    def complete(self, step: Step, extra=lambda artifact: {}) -> dict[str, Any] | None:
        """Run a step and what it needs, or only plan it; print the result. Returns the JSON object.

        Args:
            extra: from the artifact's path to more fields of the JSON object.
        """
        if self.dry_run:
            self.print_plan(self.plan(step))
            return None
        result = self.make(step, extra)
        if self.json:
            print_json(result)
        else:
            print(result["artifact"])
        return result

    def make(self, step: Step, extra=lambda artifact: {}) -> dict[str, Any]:
        """Run a step and what it needs; return the JSON object of `complete` and print nothing."""
        from emosh_core.runner import run

        done = run(self.line, step, report=self.console, device=self.device, force=self.force)
        self.console.detail(f"{done.stage}: {'cached' if done.cached else 'made'} in {done.seconds:.1f} s")
        return {
            "stage": done.stage, "artifact": str(done.artifact), "fingerprint": done.fingerprint,
            "cached": done.cached, "seconds": done.seconds, "notes": read_header(done.artifact)["notes"],
        } | extra(done.artifact)  # fmt: skip

    def plan(self, step: Step) -> list:
        """Return `emosh_core.runner.Planned` of a step and of all that it needs."""
        from emosh_core.runner import plan

        return plan(self.line, step)

    def print_plan(self, planned: list) -> None:
        """Print what would be done; `planned` holds `emosh_core.runner.Planned`."""
        steps = [vars(entry) for entry in planned]
        total = sum(entry["seconds"] for entry in steps)
        if self.json:
            print_json({"plan": steps, "seconds": total})
            return
        rows = [[entry[key] for key in ("stage", "name", "state", "seconds", "why")] for entry in steps]
        print_table(["stage", "name", "state", "≈ seconds", "why"], rows)


def find_workspace(positional: Path | None, option: Path | None) -> Workspace:
    """Open the workspace that was named, or the current folder if it is one."""
    root = one_of(positional, option)
    if root is None and not Path(layout.SETTINGS).is_file():
        raise ConfigError("no workspace is named", found="the current folder is none", fix="emosh COMMAND WORKSPACE")
    return Workspace.open(root or Path())


def one_of(positional: Path | None, option: Path | None) -> Path | None:
    """Return the workspace folder that was named, by position or by option."""
    if positional and option and positional.resolve() != option.resolve():
        raise ConfigError("two different workspaces are named", found=f"{positional} and {option}", fix="name one")
    return positional or option


def required(value: Any, what: str, fix: str) -> Any:
    """Return an option's value, or say that it is needed."""
    if value is None:
        raise ConfigError(f"{what} is needed", fix=fix)
    return value
