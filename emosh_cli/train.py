"""`emosh train`."""

import os
from typing import Annotated

import typer

from emosh_cli import options


def train(
    workspace: options.WorkspaceArgument = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the run in `runs/`.", show_default=False)
    ] = None,
    motion: options.Motion = None,
    workspace_option: options.WorkspaceOption = None,
    config: options.Config = None,
    overrides: options.Set = [],  # noqa: B006 (typer copies it)
    device: options.Device = "auto",
    force: options.Force = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
):
    """Teach a generator the people in the tracked clips, or continue the run where it stopped.

    `--set base=runs/NAME` trains an adapter (LoRA) for a generator on every tracked clip of the workspace that is worth
    it, `--set base=wan` one for the registered Wan checkpoint; `--set base=scratch` makes new networks, `--set
    people=1000` from synthetic people instead of clips. Several processes: torchrun --nproc-per-node 2 -m emosh_cli
    train ws --set zero=2.

    Example: emosh train ws --name me --set base=runs/own && emosh animate ws --ref still.jpg --generator runs/me
    """
    from emosh_cli.console import print_json
    from emosh_cli.session import Session, find_workspace
    from emosh_core.line import with_settings

    quiet = quiet or int(os.environ.get("RANK", 0)) > 0
    session = Session(
        find_workspace(workspace, workspace_option), "train", config=config, overrides=overrides, device=device,
        force=force, dry_run=dry_run, json=json, quiet=quiet, verbose=verbose,
    )  # fmt: skip
    session.settings = with_settings(session.settings, "train", name=name)
    from emosh_core.training_line import conditions, plan_training, train_run

    line = session.line
    conds = conditions(line, motion)
    if dry_run:
        session.print_plan(plan_training(line, conds))
        return

    done = train_run(line, conds, report=session.console, device=device, force=force)
    if int(os.environ.get("RANK", 0)) > 0:
        return
    result = done.result
    summary = {
        "stage": "train", "artifact": str(result.checkpoint), "fingerprint": result.checkpoint.name,
        "cached": not result.losses, "seconds": round(done.seconds, 3), "step": result.step, "total": result.total,
        "losses": result.losses, "probe_before": result.probe_before, "probe_after": result.probe_after,
        "clips": done.counts,
    }  # fmt: skip
    if result.step < result.total:
        session.console.note(f"stopped after step {result.step} of {result.total}; the same command goes on")
    elif result.probe_before is not None:
        session.console.note(f"loss at fixed times: {result.probe_before:.4f} → {result.probe_after:.4f}")
    print_json(summary) if json else print(result.checkpoint)
