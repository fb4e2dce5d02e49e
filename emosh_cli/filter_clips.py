"""`emosh filter`."""

from pathlib import Path
from typing import Annotated

import typer

from emosh_cli import options


def filter_clips(
    places: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER…", help="Workspaces, folders of `emosh synth`, or motion artifacts.",
                       show_default=False),
    ],
    config: options.Config = None,
    overrides: options.Set = [],  # noqa: B006 (typer copies it)
    json: options.Json = False,
):  # fmt: skip
    """Say which clips are worth training on: no face, too small a face, hidden hands and static clips are left out.

    Judges every motion below the folders and deletes nothing; the limits are the settings in [filter].

    Example: emosh filter ws clips --set hands=0
    """
    from dataclasses import asdict

    from emosh_cli.console import print_json, print_table
    from emosh_core.artifacts import Motion
    from emosh_core.config import load_settings
    from emosh_core.errors import ArtifactError
    from emosh_core.settings import SECTIONS
    from emosh_core.training.selection import count, judge
    from emosh_core.workspace.artifact import find_artifacts, read

    limits = load_settings(SECTIONS, file=config, overrides=overrides, section="filter")["filter"]
    found = find_artifacts(places, Motion.KIND)
    verdicts, unreadable = {}, {}
    for path in found:
        try:
            verdicts[path] = judge(read(path, Motion), limits)
        except ArtifactError as error:
            unreadable[path] = error
    if not verdicts:
        raise next(iter(unreadable.values()))
    if json:
        clips = [{"artifact": str(path)} | asdict(verdict) for path, verdict in verdicts.items()]
        lost = {str(path): error.found for path, error in unreadable.items()}
        print_json({"counts": count(verdicts.values()), "clips": clips, "unreadable": lost})
        return
    columns = ("face", "face_size", "hands", "speed", "expression_speed")
    rows = [[path, "; ".join(verdict.reasons) or "kept", *(getattr(verdict, key) for key in columns)]
            for path, verdict in verdicts.items()]  # fmt: skip
    rows += [[path, f"unreadable: {error.found}", *[""] * len(columns)] for path, error in unreadable.items()]
    print_table(["motion", "verdict", *columns], rows)
    print_table(["", "clips"], list(count(verdicts.values()).items()))
