"""`emosh init`."""

from emosh_cli import options


def init(
    workspace: options.WorkspaceArgument = None,
    workspace_option: options.WorkspaceOption = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
):
    """Create a workspace with a commented settings file and example media; keeps what is there.

    Example: emosh init ws
    """
    from emosh_cli.console import print_json
    from emosh_cli.session import one_of, required
    from emosh_core.workspace.workspace import Workspace

    folder = required(one_of(workspace, workspace_option), "a folder for the workspace", "emosh init FOLDER")
    root = Workspace.create(folder, examples=True).root
    print_json({"workspace": str(root)}) if json else print(root)
