"""`emosh status`."""

from emosh_cli import options


def status(
    workspace: options.WorkspaceArgument = None,
    workspace_option: options.WorkspaceOption = None,
    config: options.Config = None,
    overrides: options.Set = [],  # noqa: B006 (typer copies it)
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
):
    """Show what a workspace holds, and what is stale and why.

    Example: emosh status ws
    """
    from emosh_cli.console import print_json, print_table
    from emosh_cli.session import Session, find_workspace
    from emosh_core.runner import status as describe

    session = Session(find_workspace(workspace, workspace_option), "track", config=config, overrides=overrides)
    root = session.workspace.root
    rows = describe(session.line)
    runs = sorted(str(path.relative_to(root)) for path in (root / "runs").glob("*/checkpoints/*"))
    if json:
        print_json({"workspace": str(root), "artifacts": rows, "checkpoints": runs})
        return
    columns = ["stage", "name", "fingerprint", "frames", "seconds", "state", "why"]
    print_table(columns, [["" if row[column] is None else row[column] for column in columns] for row in rows])
    for run in runs:
        print(run)
