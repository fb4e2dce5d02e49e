"""`emosh init`."""

from pathlib import Path
from typing import Annotated

import typer

from emosh_cli import options


def init(
    workspace: Annotated[Path, typer.Argument(metavar="WORKSPACE", help="Folder to create.", show_default=False)],
    json: options.Json = False,
):
    """Create a workspace with a commented settings file and example media; keeps what is there.

    Example: emosh init ws
    """
    from emosh_cli.console import print_json
    from emosh_core.workspace.workspace import Workspace

    root = Workspace.create(workspace, examples=True).root
    print_json({"workspace": str(root)}) if json else print(root)
