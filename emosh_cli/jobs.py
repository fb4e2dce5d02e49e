"""One or many clips in one call: every job once, in a fixed order, each by itself."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import typer

from emosh_cli.console import print_json
from emosh_cli.session import Session
from emosh_core.errors import ConfigError, EmoshError
from emosh_core.line import Step

Prepared = tuple[Session, Step, Callable[[Path], dict[str, Any]]]
Pair = tuple[Path | None, Path]


def run_jobs(
    prepare: Callable[..., Prepared], pairs: Sequence[Pair], mine: slice, *, dry_run: bool, json: bool
) -> None:
    """Make the clips of a part of the jobs, or only plan them, and print what came of it.

    A single job prints what `Session.complete` prints. Of many, one that fails is named on stderr, the others are
    made all the same, and the exit code is that of the first failure. With `--json` there is one object for all.

    Args:
        prepare: checks a (workspace, still) and asks what has to be asked; all are prepared before the first is made.
        pairs: all jobs, the same on every machine.
        mine: those of this machine.
    """
    if len(pairs) == 1 and len(pairs[mine]) == 1:
        session, step, extra = prepare(*pairs[0])
        with nullcontext(True) if dry_run else _together(session) as leads:
            result = session.complete(step, extra) if leads else None
        if result is not None:
            session.console.note(f"video: {result['video']}")
        return
    prepared, failed = [], []
    for pair in pairs[mine]:
        job = _apart(failed, pair, lambda pair=pair: _on_one_gpu(prepare(*pair)))
        prepared += [(pair, job)] if job else []
    if dry_run:
        _print_plans([job for _, job in prepared])
    else:
        results = _make(prepared, failed)
        if json:
            print_json({"jobs": len(pairs), "here": len(pairs[mine]), "clips": results, "failed": failed})
    if failed:
        raise typer.Exit(failed[0]["code"])


@contextmanager
def _together(session: Session) -> Iterator[bool]:
    """Yield whether this process does the work: all do, but those of a `torchrun` that follow the first one."""
    config = session.line.settings["animate"]
    if config.gpus == 1:
        yield True
        return
    from emosh_core.clip import follow_clip
    from emosh_core.generate import parallel

    rank, device = parallel.join(config.gpus)
    if rank:
        follow_clip(config, session.workspace.root, str(device))
        yield False
        return
    try:
        yield True
    finally:
        parallel.release()


def _on_one_gpu(job: Prepared) -> Prepared:
    if (gpus := job[0].settings["animate"].gpus) > 1:
        fix = '--set parallel="", and --shard on each GPU, or one call per clip'
        raise ConfigError("several GPUs make one clip at a time", found=f"parallel = context:{gpus}", fix=fix)
    return job


def _make(prepared: list[tuple[Pair, Prepared]], failed: list[dict]) -> list[dict]:
    results = []
    for pair, (session, step, extra) in prepared:
        result = _apart(failed, pair, lambda job=(session, step, extra): job[0].make(*job[1:]))
        if result is None:
            continue
        results.append(result | {"workspace": str(session.workspace.root), "reference": str(pair[1])})
        session.console.note(f"video: {result['video']}")
        if not session.json:
            print(result["artifact"], flush=True)
    return results


def _print_plans(jobs: list[Prepared]) -> None:
    """Print one plan of all jobs, each step of a workspace once."""
    if not jobs:
        return
    planned = {
        (session.workspace.root, entry.stage, entry.fingerprint): entry
        for session, step, _ in jobs
        for entry in session.plan(step)
    }
    jobs[0][0].print_plan(list(planned.values()))


def _apart(failed: list[dict], pair: Pair, call: Callable[[], Any]) -> Any:
    """Return what a job's part returns; None if it failed, with the reason noted."""
    try:
        return call()
    except EmoshError as error:
        place, still = pair
        print(f"error: {still} in {place or '.'}: {error}", file=sys.stderr, flush=True)
        failed.append({"workspace": str(place or "."), "reference": str(still), "error": error.what,
                       "found": error.found, "fix": error.fix, "code": error.exit_code})  # fmt: skip
        return None
