"""`emosh train`."""

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
    """Train a generator on the tracked clip, or continue the run where it stopped.

    Example: emosh train ws --name first --set steps=20
    """
    import time

    from emosh_cli.console import print_json
    from emosh_cli.session import Session, find_workspace
    from emosh_core.line import with_settings

    session = Session(
        find_workspace(workspace, workspace_option), "train", config=config, overrides=overrides, device=device,
        force=force, dry_run=dry_run, json=json, quiet=quiet, verbose=verbose,
    )  # fmt: skip
    session.settings = with_settings(session.settings, "train", name=name)
    line = session.line
    cond = line.render(line.take(line.driver(motion)))
    from emosh_core.runner import plan_training, train_run

    if dry_run:
        session.print_plan(plan_training(line, cond))
        return

    started = time.perf_counter()
    done = train_run(line, cond, report=session.console, device=device, force=force)
    result = {
        "stage": "train", "artifact": str(done.checkpoint), "fingerprint": cond.fingerprint,
        "cached": not done.losses, "seconds": round(time.perf_counter() - started, 3), "losses": done.losses,
        "probe_before": done.probe_before, "probe_after": done.probe_after,
    }  # fmt: skip
    session.console.note(f"loss at fixed times: {done.probe_before:.4f} → {done.probe_after:.4f}")
    print_json(result) if json else print(done.checkpoint)
