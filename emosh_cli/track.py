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
    person: Annotated[
        str | None,
        typer.Option(
            "--person", metavar="largest|N|X,Y", show_default=False,
            help="Whom to follow if there are several: the largest, the N-th from the left, or who is at X,Y [px].",
        ),
    ] = None,
    focal: Annotated[
        float | None,
        typer.Option("--focal", metavar="PX", help="Focal length [px]; by default the file's own, or assumed.",
                     show_default=False),
    ] = None,
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

    A film may have cuts, other people, and moments in which the person is away: every frame gets an answer, and the
    artifact says how far to trust it. The overlay shows it: hatched parts are not trusted.

    Example: emosh track dance.mp4 -o ws --person 2
    """
    from emosh_cli.session import Session
    from emosh_core.workspace.workspace import Workspace, existing

    given = {"person": person, "focal": focal}
    overrides = [*overrides, *(f"{key}={value}" for key, value in given.items() if value is not None)]
    existing(source)  # a mistyped name shall not leave a workspace behind
    session = Session(
        Workspace(out) if dry_run else Workspace.create(out), "track", config=config, overrides=overrides,
        device=device, force=force, dry_run=dry_run, json=json, quiet=quiet, verbose=verbose,
    )  # fmt: skip
    session.complete(session.line.track(source))
