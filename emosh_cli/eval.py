"""`emosh eval`."""

from pathlib import Path
from typing import Annotated

import typer

from emosh_cli import options


def evaluate(
    subject: Annotated[
        Path | None,
        typer.Argument(metavar="VIDEO|WORKSPACE", help="Video to judge, or a workspace.", show_default=False),
    ] = None,
    truth: Annotated[
        Path | None, typer.Argument(metavar="[VIDEO]", help="Video to compare with.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.json", help="Write the report here too.", show_default=False),
    ] = None,
    motion: options.Motion = None,
    workspace_option: options.WorkspaceOption = None,
    config: options.Config = None,
    overrides: options.Set = [],  # noqa: B006 (typer copies it)
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
):
    """Compare two videos (PSNR, L1, SSIM), or judge a workspace's motion (reprojection error, jitter).

    If its newest clip has several chunks, their colours are compared with the first one's (ΔE, CIEDE2000).

    Example: emosh eval result.mp4 truth.mp4
    """
    from emosh_cli.console import Console, print_json
    from emosh_core.config import load_settings
    from emosh_core.metrics.evaluate import compare_videos, judge_motion
    from emosh_core.settings import SECTIONS

    if truth is not None:
        settings = load_settings(SECTIONS, file=config, overrides=overrides, section="eval")
        with Console(quiet=quiet, verbose=verbose).progress("eval") as progress:
            report = compare_videos(subject, truth, settings["eval"], progress)
    else:
        report = _judge(subject, workspace_option, motion, judge_motion, Console(quiet=quiet, verbose=verbose))
    if out is not None:
        _write(out, report)
    print_json(report) if json else _show(report)


def _judge(subject: Path | None, workspace_option: Path | None, motion: Path | None, judge_motion, console) -> dict:
    from emosh_cli.session import find_workspace
    from emosh_core.artifacts import Motion
    from emosh_core.errors import ConfigError
    from emosh_core.line import Line
    from emosh_core.workspace.artifact import read

    if subject is not None and subject.is_file():
        raise ConfigError("a second video is needed", found=str(subject), fix=f"emosh eval {subject} TRUTH.mp4")
    line = Line(find_workspace(subject, workspace_option))
    artifact = line.driver(motion)
    return {"artifact": str(artifact)} | judge_motion(read(artifact, Motion)) | _drift(line, artifact, console)


def _drift(line, motion: Path, console) -> dict:
    """Compare the chunks of a motion's newest clip; without such a clip of several chunks there is nothing to say."""
    from emosh_core.errors import ArtifactError
    from emosh_core.export import newest_clip, panels_of
    from emosh_core.metrics.drift import chunk_drift

    clip = newest_clip(line, motion)
    if clip is None:
        return {}
    try:
        panels = panels_of(line, clip)
        if len(panels.clip.windows) < 2:
            return {}
        with console.progress("drift") as progress:
            masks = (panels.cond.mask[t] for t in range(len(panels.clip.time)))
            chunks = chunk_drift(panels.frames("result"), masks, panels.clip.windows, progress)
    except ArtifactError as error:  # media may be deleted, and the motion is judged all the same
        console.note(f"no colour drift: {error}")
        return {}
    return {"drift": {"clip": str(clip), "difference": "CIEDE2000", "chunks": chunks}}


def _write(out: Path, report: dict) -> None:
    from emosh_cli.console import to_json
    from emosh_core.durable import durable_file
    from emosh_core.errors import ArtifactError

    try:
        with durable_file(out) as temporary:
            temporary.write_text(to_json(report) + "\n", encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"cannot write {out}", found=str(error), fix="choose another place with -o") from error


def _show(report: dict) -> None:
    from emosh_cli.console import print_table
    from emosh_core.metrics.drift import PARTS
    from emosh_core.metrics.evaluate import UNITS

    if report["kind"] == "videos":
        rows = [[name, value, UNITS[name]] for name, value in report["clip"].items()]
        rows.append(["frames", report["frames"], "of " + " and ".join(map(str, report["frames_of_each"]))])
    else:
        rows = [
            [f"reprojection error, {key}", value, "" if "diagonal" in key else "px"]
            for key, value in report["reprojection_error"].items()
        ]
        rows.append(["jitter", report["jitter"], UNITS["jitter"]])
        rows += [[f"{part} tracked", share, "of frames"] for part, share in report["tracked"].items()]
        rows.append(["frames", report["frames"], ""])
        for number, chunk in enumerate(report.get("drift", {"chunks": ()})["chunks"][1:], 2):
            rows += [[f"colour of chunk {number} from chunk 1, {part}", chunk[part], "ΔE00"] for part in PARTS]
    print_table(["metric", "value", "unit"], rows)
