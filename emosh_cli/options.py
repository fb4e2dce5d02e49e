"""Option types that commands share, and what they are turned into."""

from pathlib import Path
from typing import Annotated

import typer

WorkspaceArgument = Annotated[
    Path | None,
    typer.Argument(metavar="WORKSPACE", help="Workspace folder; the current one by default.", show_default=False),
]
WorkspaceOption = Annotated[
    Path | None, typer.Option("--workspace", "-w", metavar="FOLDER", help="The same, as an option.", show_default=False)
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE.toml", help="Settings file; the workspace's by default.", show_default=False
    ),
]
Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="One setting; may be repeated.", show_default=False)
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Force = Annotated[bool, typer.Option("--force", help="Make it again even if it is fresh.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run and how long, and stop.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more, for example each cached stage.")]
Reference = Annotated[
    Path | None,
    typer.Option("--ref", metavar="IMAGE", help="Still of the person who is to move.", show_default=False),
]
Motion = Annotated[
    Path | None,
    typer.Option(
        "--motion", metavar="NAME", help="Which tracked clip drives, if there are several.", show_default=False
    ),
]
Contacts = Annotated[
    str | None,
    typer.Option(
        "--contacts",
        metavar="on|off",
        help="Let hands and feet touch what they touch in the clip; by default what the settings say.",
        show_default=False,
    ),
]
