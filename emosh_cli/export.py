"""`emosh export`."""

from pathlib import Path
from typing import Annotated

import typer

from emosh_cli import options


def export(
    workspace: options.WorkspaceArgument = None,
    what: Annotated[
        str, typer.Option("--what", metavar="side-by-side|cond|result", help="What is shown.")
    ] = "side-by-side",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.mp4|FOLDER|NAME.png", help="Where it goes.", show_default=False),
    ] = None,
    motion: options.Motion = None,
    workspace_option: options.WorkspaceOption = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
):
    """Write the newest clip as a video or as pictures; by default driver, condition and result side by side.

    If other generators made the same clip, for example `preview`, theirs stand beside it.

    Example: emosh export ws --what side-by-side -o side_by_side.mp4
    """
    from emosh_cli.console import Console, print_json
    from emosh_cli.session import find_workspace, required
    from emosh_core.errors import ArtifactError
    from emosh_core.export import check_destination, newest_panels
    from emosh_core.export import export as write
    from emosh_core.line import Line

    out = required(out, "a place for the export", "-o FILE.mp4")
    check_destination(out, what)
    panels = newest_panels(Line(find_workspace(workspace, workspace_option)), motion)
    console = Console(quiet=quiet, verbose=verbose)
    try:
        with console.progress("export") as progress:
            frames = write(panels, what, out, progress)
    except OSError as error:
        raise ArtifactError(f"cannot write {out}", found=str(error), fix="choose another place with -o") from error
    print_json({"out": str(out), "what": what, "frames": frames}) if json else print(out)
