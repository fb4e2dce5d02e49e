"""`emosh train` on a workspace: which clips, what becomes of them, and the run itself."""

import hashlib
import json
import os
import shutil
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from emosh_core.artifacts import Cond, Motion
from emosh_core.device import resolve_device
from emosh_core.durable import durable_file
from emosh_core.errors import ArtifactError, AssetError, ConfigError
from emosh_core.generate.names import MINI, SCRATCH, WAN, adapts_wan, mini_folder, mini_ships
from emosh_core.line import PREVIEW_VERSION, Line, Step
from emosh_core.runner import Planned, Report, plan, run
from emosh_core.settings import TrainConfig
from emosh_core.workspace import layout
from emosh_core.workspace.artifact import read_header

SECONDS_PER_STEP = 1.5
"""First guess of a training step's cost on two cores."""
SAMPLE_KEYS = ("people", "assets", "seed", "resolution", "stride", "references")
"""Settings of [train] that decide about the samples, besides the window."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What became of a call of `emosh train`."""

    result: "TrainResult"  # noqa: F821 (of emosh_core.training.train, which loads torch)
    counts: dict[str, int]
    """How many clips there were, were kept, and left out for each reason; empty for synthetic people."""
    seconds: float


def conditions(line: Line, motion: Path | None) -> list[Step]:
    """Return the condition pictures of the clips to train on: one that was chosen, or every tracked clip."""
    if line.settings["train"].people:
        return []
    if motion is not None:
        return [line.render(line.take(line.chosen(motion, "track")))]
    newest: dict[str, Path] = {}
    for artifact in line.workspace.artifacts("track"):
        header = read_header(artifact)
        if header["frames"] > 1:
            newest[header["inputs"][0]["sha256"]] = artifact
    if not newest:
        fix = f"emosh track CLIP.mp4 -o {line.workspace.root}, or --set people=100"
        raise ArtifactError(f"there is no tracked clip in {line.workspace.root} to train on", found="nothing", fix=fix)
    return [line.render(line.take(artifact)) for artifact in newest.values()]


def plan_training(line: Line, conds: list[Step]) -> list[Planned]:
    """Say what a training run and what it needs would do."""
    config = line.settings["train"]
    total = config.steps + (config.vae_steps if config.base == SCRATCH else 0)
    found = sorted((line.workspace.root / layout.RUNS / config.name).glob("checkpoints/step_*"))
    done = min(total, int(found[-1].name.removeprefix("step_"))) if found else 0
    training = Planned(
        stage="train", name=config.name, fingerprint=data_of(line, conds), why=f"{done} of {total} steps are done",
        state="fresh" if done == total else "missing", seconds=round(SECONDS_PER_STEP * (total - done), 1),
    )  # fmt: skip
    planned = {f"{entry.stage} {entry.fingerprint}": entry for cond in conds for entry in plan(line, cond)}
    return [*planned.values(), training]


def data_of(line: Line, conds: list[Step]) -> str:
    """Name what a run is trained on: the clips, or the settings of the synthetic people."""
    config = line.settings["train"]
    said = {key: getattr(config, key) for key in SAMPLE_KEYS} | {"clips": sorted(cond.fingerprint for cond in conds)}
    said["preview"] = PREVIEW_VERSION  # samples hold its pictures
    if conds and config.filter:
        said["filter"] = asdict(line.settings["filter"])
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


def train_run(line: Line, conds: list[Step], *, report: Report, device: str, force: bool = False) -> Trained:
    """Train the run that the settings name, or continue it; with `torchrun` every process calls this.

    Args:
        conds: of `conditions`.
        force: forget the run and begin again.
    """
    started = time.monotonic()
    leads = int(os.environ.get("RANK", 0)) == 0
    config = line.settings["train"]
    folder = line.workspace.root / layout.RUNS / config.name
    waiting = lambda: report.note("waiting for another process that trains this run")  # noqa: E731
    with line.workspace.lock("train", config.name, waiting) if leads else nullcontext():
        from emosh_core.training.engine import join_ranks
        from emosh_core.training.run import meet
        from emosh_core.training.samples import Samples
        from emosh_core.training.train import train

        device = resolve_device(device)
        ranks = join_ranks(device)
        base = _base(line, config, str(ranks.device))
        window = config.window if config.base in (SCRATCH, WAN) else base.spec.window
        if leads:
            if force:
                shutil.rmtree(folder, ignore_errors=True)
            _write_samples(line, conds, folder / "samples", window=window, report=report, device=device)
        meet(ranks)
        listing = json.loads((folder / "samples" / "samples.json").read_text())
        samples = Samples(folder / "samples" / name for name in listing["files"])
        with report.progress(f"train {config.name}") as progress:
            result = train(
                samples, config, folder, data=data_of(line, conds), base=base, device=device, progress=progress,
                note=report.note if leads else None,
                until=started + 60 * config.minutes if config.minutes else float("inf"),
            )  # fmt: skip
    return Trained(result=result, counts=listing["counts"], seconds=time.monotonic() - started)


def _base(line: Line, config: TrainConfig, device: str):
    """Load the networks to start from, of the Wan checkpoint what comes first; None for new ones."""
    name = config.base
    if name == SCRATCH:
        return None
    if name == WAN:
        from emosh_core.training.full_size import open_full_size

        return open_full_size(config, device)
    if adapts_wan(line.workspace.root / name):
        fix = f"--set base=wan; with --name {Path(name).name} it goes on"
        raise ConfigError(f"{name} is a LoRA on wan and nothing to start from", found=f"base = {name}", fix=fix)
    from emosh_core.generate.diffusion import latest_checkpoint
    from emosh_core.generate.models import load

    if name != MINI:
        return load(latest_checkpoint(line.workspace.root / name), device)
    if not mini_ships():
        fix = "--set base=scratch --set method=full"
        raise AssetError("the package holds no weights of mini", found=f"no {mini_folder()}", fix=fix)
    return load(mini_folder(), device)


def _write_samples(line: Line, conds: list[Step], folder: Path, *, window: int, report: Report, device: str) -> None:
    """Bring the samples to the disk, as far as they are missing, and list them in `samples.json`."""
    config = line.settings["train"]
    for cond in conds:
        run(line, cond, report=report, device=device)
    counts: dict[str, int] = {}
    if conds:
        conds, counts = _kept(line, conds, report)
    key = {"data": data_of(line, conds), "window": window}
    listing = folder / "samples.json"
    if listing.is_file() and json.loads(listing.read_text())["key"] == key:
        return
    paths = _film(line, folder, window, report, device) if config.people else []
    for cond in conds:
        paths += _cut(line, cond, folder, window, report)
    with durable_file(listing) as temporary:
        files = [path.name for path in paths]
        temporary.write_text(json.dumps({"key": key, "counts": counts, "files": files}, indent=2) + "\n")


def _film(line: Line, folder: Path, window: int, report: Report, device: str) -> list[Path]:
    from emosh_core.training.people import film_people

    workers = 1 if device.startswith("cuda") else len(os.sched_getaffinity(0))
    with report.progress("film people") as progress:
        return film_people(
            folder, line.settings["train"], window=window, device=device, workers=workers, progress=progress
        )


def _kept(line: Line, conds: list[Step], report: Report) -> tuple[list[Step], dict[str, int]]:
    """Return the clips that are worth training on, and how many each reason leaves out."""
    from emosh_core.training.selection import count, judge

    verdicts = [judge(line.load(cond.needs[0], Motion), line.settings["filter"]) for cond in conds]
    counts = count(verdicts)
    if not line.settings["train"].filter:
        return conds, counts
    for cond, verdict in zip(conds, verdicts, strict=True):
        if verdict.reasons:
            report.note(f"{cond.name} is left out: {', '.join(verdict.reasons)}")
    report.note(", ".join(f"{reason} {number}" for reason, number in counts.items()))
    kept = [cond for cond, verdict in zip(conds, verdicts, strict=True) if not verdict.reasons]
    if not kept:
        found = ", ".join(f"{reason} {number}" for reason, number in counts.items())
        raise ArtifactError("no clip is worth training on", found=found, fix="--set filter=false, or other clips")
    return kept, counts


def _cut(line: Line, cond: Step, folder: Path, window: int, report: Report) -> list[Path]:
    """Write the samples of one clip."""
    from emosh_core.body.assets import load_body
    from emosh_core.segmentation import person_mask
    from emosh_core.training.footage import write_samples
    from emosh_core.video_io import open_source

    config = line.settings["train"]
    source = open_source(line.source(cond.needs[0]))
    with report.progress(f"cut {cond.name} into samples") as progress:
        return write_samples(
            folder, f"{cond.name}-{cond.fingerprint}", line.load(cond.needs[0], Motion), line.load(cond, Cond),
            (frame for _, frame in source.frames()), load_body(), side=config.resolution, window=window,
            stride=config.stride, references=config.references, seed=config.seed, person_mask=person_mask,
            progress=progress,
        )  # fmt: skip


