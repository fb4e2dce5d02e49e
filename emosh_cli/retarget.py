"""`emosh retarget`."""

from emosh_cli import options


def retarget(
    workspace: options.WorkspaceArgument = None,
    reference: options.Reference = None,
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
    """Put the clip's motion on the body shape of the person in a still.

    Example: emosh retarget ws --ref still.jpg
    """
    from emosh_cli.session import Session, find_workspace, required
    from emosh_core.line import with_settings

    session = Session(
        find_workspace(workspace, workspace_option), "retarget", config=config, overrides=overrides, device=device,
        force=force, dry_run=dry_run, json=json, quiet=quiet, verbose=verbose,
    )  # fmt: skip
    session.settings = with_settings(session.settings, "retarget", contacts=contacts)
    line = session.line
    still = line.track(required(reference, "a still of the person", "--ref IMAGE"))
    session.complete(line.retarget(line.take(line.driver(motion)), still))
