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
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="The I-th of N parts of the clips (1/4 to 4/4), for batch jobs.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE.mp4|FILE.mov|FOLDER|NAME.png", help="Where the result goes.", show_default=False
    ),
]
Codec = Annotated[
    str,
    typer.Option(
        "--codec",
        metavar="auto|h264|h265|prores",
        help="How a video is encoded; auto: H.264 in .mp4, ProRes 422 HQ (4444 with alpha) in .mov.",
    ),
]
Audio = Annotated[
    bool, typer.Option("--audio", help="With the driver's sound: as it is where the file takes it, else AAC.")
]
Background = Annotated[
    str,
    typer.Option(
        "--background",
        metavar="keep|green|alpha",
        help="What is behind the person; alpha is straight, for ProRes and PNG. The mask is that of the fitted body, "
        "whatever the generator: hair and loose clothes outside it are cut off.",
    ),
]
Generator = Annotated[
    str | None,
    typer.Option(
        "--generator",
        metavar="wan|mini|preview|runs/NAME",
        help="What makes the frames; by default the best that is there, or what the settings say.",
        show_default=False,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile", metavar="quality|balanced|fast|lowvram", show_default=False,
        help="How a diffusion generator samples: all steps, skipping what changes little, four steps for a "
        "step-distilled LoRA, or with little memory.",
    ),
]  # fmt: skip
Lora = Annotated[
    list[str],
    typer.Option(
        "--lora", metavar="FILE|FOLDER|runs/NAME[:WEIGHT]", help="LoRA weights; may be repeated.", show_default=False
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option("--prompt", metavar="TEXT", help="What is to be seen, for generator wan.", show_default=False),
]
