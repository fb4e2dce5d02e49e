"""`emosh export`."""

from typing import Annotated

import typer

from emosh_cli import options


def export(
    workspace: options.WorkspaceArgument = None,
    what: Annotated[
        str, typer.Option("--what", metavar="side-by-side|cond|result", help="What is shown.")
    ] = "side-by-side",
    out: options.Out = None,
    codec: options.Codec = "auto",
    audio: options.Audio = False,
    background: options.Background = "keep",
    motion: options.Motion = None,
    workspace_option: options.WorkspaceOption = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
):
    """Write the newest clip as a video or as pictures; by default driver, condition and result side by side.

    If other generators made the same clip, for example `preview`, theirs stand beside it. Everything but the plain
    result as .mp4, which is copied, is encoded again from the clip's H.264 video.

    Example: emosh export ws --what result --background alpha --audio -o person.mov
    """
    from emosh_cli.console import Console, print_json
    from emosh_cli.session import find_workspace, required
    from emosh_core.errors import ArtifactError
    from emosh_core.export import Delivery, newest_panels
    from emosh_core.export import export as write
    from emosh_core.line import Line

    out = required(out, "a place for the export", "-o FILE.mp4")
    delivery = Delivery(out=out, what=what, codec=codec, audio=audio, background=background)
    panels = newest_panels(Line(find_workspace(workspace, workspace_option)), motion)
    console = Console(quiet=quiet, verbose=verbose)
    try:
        with console.progress("export") as progress:
            frames = write(panels, delivery, progress)
    except OSError as error:
        raise ArtifactError(f"cannot write {out}", found=str(error), fix="choose another place with -o") from error
    print_json({"out": str(out), "what": what, "frames": frames}) if json else print(out)
