"""`emosh synth`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from emosh_cli import options
from emosh_cli.console import Console, print_json
from emosh_core.shards import parse_shard

Clips = Annotated[
    int | None,
    typer.Option("--clips", "-n", min=1, help="How many; 8, or all of an evaluation set.", show_default=False),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="0 by default; evaluation sets have their own.", show_default=False),
]
Split = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="train|val|test",
        help="Identities and motions of one never occur in another; val and test have a seed of their own.",
    ),
]
Assets = Annotated[
    Path | None,
    typer.Option(
        "--assets", metavar="FOLDER", help="MakeHuman asset pack; painted people without.", show_default=False
    ),
]


def synth(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where the clips go.", show_default=False)
    ] = None,
    clips: Clips = None,
    seed: Seed = None,
    split: Split = "train",
    pairs: Annotated[
        int, typer.Option("--pairs", metavar="K", min=0, help="Other people per clip who do exactly the same.")
    ] = 0,
    assets: Assets = None,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes; 0: one per processor.")] = 0,
    shard: options.Shard = None,
    config: options.Config = None,
    overrides: options.Set = [],  # noqa: B006 (typer copies it)
    device: options.Device = "auto",
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
):  # fmt: skip
    """Make clips of synthetic people with exact ground truth: video, motion, shape, visibility, contacts.

    The same seed gives the same bytes; a run that was interrupted continues; more clips can be added later.

    Kinds of motion for --set motion=KIND: idle, talk, gesture, wave, reach, squat, crouch, bow, clap,
    hips, face, walk, turn, dance, jacks; or a BVH or mocap text file, or a folder of such files.

    Example: emosh synth -o clips -n 20 --pairs 2 --assets makehuman_pack --set framing=half
    """
    from emosh_cli.session import required
    from emosh_core.config import load_settings
    from emosh_core.device import check_device, resolve_device
    from emosh_core.settings import SECTIONS

    out = required(out, "a folder for the clips", "-o FOLDER")
    check_device(device)
    settings = load_settings(SECTIONS, file=config, overrides=overrides, section="synth")["synth"]
    from emosh_core.synth.make import Set, clip_count

    set_ = Set.named(split, seed=seed, others=pairs, assets=assets, config=settings, device=resolve_device(device))
    console = Console(quiet=quiet, verbose=verbose)
    _make(out, set_, clip_count(split, clips), parse_shard(shard), workers, console, dry_run=dry_run, json=json)


def _make(out: Path, set_, count: int, mine: slice, workers: int, console: Console, *, dry_run: bool, json: bool):
    """Make what is missing of a set, and a report when all of it is there."""
    from emosh_core.synth.make import begin, make_clips, missing_clips, usual_workers
    from emosh_core.synth.report import report, takes

    left = missing_clips(out, range(count)[mine])
    if dry_run:
        frames = set_.config.frames * len(left) * (1 + set_.others)
        plan = {"clips": count, "here": len(range(count)[mine]), "missing": len(left), "people": 1 + set_.others,
                "split": set_.split, "seed": set_.seed, "frames": frames}  # fmt: skip
        print_json(plan) if json else print(*(f"{key}: {value}" for key, value in plan.items()), sep="\n")
        return
    begin(out, set_)
    started, frames, done = time.perf_counter(), 0, 0
    with console.progress(f"synth {set_.split}") as progress:
        progress(0, len(left))
        for done, (_, made) in enumerate(make_clips(out, set_, left, workers=workers or usual_workers(set_)), 1):
            frames += made
            progress(done, len(left))
    seconds = time.perf_counter() - started
    if not missing_clips(out, range(count)):
        report(out, takes(out, range(count)))
    result = {"folder": str(out), "clips": count, "made": done, "frames": frames, "seconds": round(seconds, 3)}
    print_json(result) if json else print(out)
    if frames:
        console.detail(f"{done} clips, {frames / seconds:.1f} frames/s")
