"""`emosh render-cond`."""

from typing import Annotated

import typer

from emosh_cli import options


def render_cond(
    workspace: options.WorkspaceArgument = None,
    reference: options.Reference = None,
    own: Annotated[
        bool, typer.Option("--self", help="The clip's own person, not a target (what training needs).")
    ] = False,
    layers: Annotated[
        str | None,
        typer.Option("--layers", metavar="hybrid|mesh|keypoints|skeleton2d", help="What is drawn.", show_default=False),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option("--camera", metavar="KEYS", help="Move the camera: FRAME:ZOOM,… or `dolly 0:0,76:0.5`.",
                     show_default=False),
    ] = None,
    motion: options.Motion = None,
    contacts: options.Contacts = None,
    workspace_option: options.WorkspaceOption = None,
    config: options.Config = None,
    overrides: options.Set = [],  # noqa: B006 (typer copies it)
    device: options.Device = "auto",
    force: options.Force = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
):
    """Draw the condition video: the body in canonical colours, face and hand keypoints on top.

    Without --ref the newest target is drawn, or the clip's own person if there is no target.

    Example: emosh render-cond ws --ref still.jpg --camera "0:1.0,76:1.6"
    """
    from emosh_cli.session import Session, find_workspace, required
    from emosh_core.line import with_settings

    session = Session(
        find_workspace(workspace, workspace_option), "render", config=config, overrides=overrides, device=device,
        force=force, dry_run=dry_run, json=json, quiet=quiet, verbose=verbose,
    )  # fmt: skip
    if contacts:
        required(reference, "a still, for --contacts says how it is retargeted,", "--ref IMAGE")
    session.settings = with_settings(session.settings, "retarget", contacts=contacts)
    session.settings = with_settings(session.settings, "render", layers=layers, camera=camera)
    line = session.line
    if reference:
        source = line.retarget(line.take(line.driver(motion)), line.track(reference))
    else:
        source = line.newest_target(motion) if not own else None
        source = source or line.take(line.driver(motion))
        session.console.detail(f"drawing {source.stage} {source.name}")
    session.complete(line.render(source))
