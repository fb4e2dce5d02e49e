"""`emosh track`."""

from pathlib import Path
from typing import Annotated

import typer

from emosh_cli import options


def track(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Video, image or folder of images.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            "--workspace",
            "-w",
            metavar="FOLDER",
            help="Workspace; created if needed.",
            show_default=False,
        ),
    ],
    config: options.Config = None,
    overrides: options.Set = [],  # noqa: B006 (typer copies it)
    device: options.Device = "auto",
    force: options.Force = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
):
    """Follow the person in a clip: body, hands, face, shape and camera of each frame.

    Example: emosh track dance.mp4 -o ws
    """
    from emosh_cli.session import Session
    from emosh_core.workspace.workspace import Workspace, existing

    existing(source)  # a mistyped name shall not leave a workspace behind
    session = Session(
        Workspace(out) if dry_run else Workspace.create(out), "track", config=config, overrides=overrides,
        device=device, force=force, dry_run=dry_run, json=json, quiet=quiet, verbose=verbose,
    )  # fmt: skip
    session.complete(session.line.track(source))
