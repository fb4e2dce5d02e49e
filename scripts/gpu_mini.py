"""Train mini on a GPU machine in minutes: its processor films people while its GPU trains.

    PYTHONPATH=.:kernels python3 scripts/gpu_mini.py --minutes 9 --out results [--assets PACK] [--start MINI]

With --film it only films, into --work; a later call takes over from that process, which goes on meanwhile.

Needs torch with CUDA, numpy, scipy, numba, OpenCV, safetensors, peft, roma and diffusers, no installed package of ours.
First people are filmed until there are enough to begin; then the VAE trains (unless --start brings one), then the
latents of all people filmed by then are encoded, then the transformer trains until time is over. Steps are fitted to
the time by timing a few first. Writes mini in parts of at most 15 MiB (`cat mini.tar.* | tar x`), metrics, a sheet of
pictures and what was measured.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from emosh_core.generate.models import Networks, load, save
from emosh_core.settings import TrainConfig
from emosh_core.training.people import film_people
from emosh_core.training.samples import Samples
from emosh_core.training.train import train

PART = 15 << 20
TIMED = 24
"""Steps that are timed before the number of steps is chosen."""
CORES = 4
"""Cores that are left to training while people are filmed."""


def main() -> None:
    options = parse()
    until = time.monotonic() + 60 * options.minutes - options.reserve
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    config = TrainConfig(
        name="mini", base="scratch", method="full", people=options.people, assets=options.assets or "",
        resolution=options.side, batch=options.batch, vae_batch=options.vae_batch, lr=options.lr, precision="bf16",
        aligned=0.3, checkpoint_every=10**6, pictures=False, warmup=100, steps=1, vae_steps=1, **options.size,
    )  # fmt: skip
    work = options.work
    for name in ("timed_vae", "vae", "timed", "mini"):
        shutil.rmtree(work / name, ignore_errors=True)
    film = Film(work) or Film.start(work)
    try:
        report = {"device": torch.cuda.get_device_name() if device == "cuda" else "cpu", "torch": torch.__version__}
        samples = wait_for(work / "samples", options.first, film)
        base = load(options.start, device) if options.start else None
        if base is None:
            seconds = options.vae_share * (until - time.monotonic())
            base, report["vae"] = train_vae(samples, config, work, device, seconds)
        samples = wait_for(work / "samples", options.first, film)
        film.stop()
        trained, report["transformer"] = train_transformer(samples, config, work, base, device, until)
    finally:
        film.stop()
    report |= {"people": len(samples), "batch": config.batch, "vae_batch": config.vae_batch, "lr": config.lr}
    deliver(trained, samples, report, work, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--reserve", type=float, default=45, help="seconds kept for writing the results")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "build/gpu_mini")))
    parser.add_argument("--work", type=Path, default=Path("/tmp/emosh-gpu-mini"))
    parser.add_argument("--assets", help="asset pack; painted people without it")
    parser.add_argument("--start", type=Path, help="go on from this generator; its VAE stays as it is")
    parser.add_argument("--people", type=int, default=4000, help="at most")
    parser.add_argument("--first", type=int, default=160, help="people to wait for before training begins")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--vae-batch", type=int, default=24)
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--vae-share", type=float, default=0.4, help="share of the training time for a new VAE")
    parser.add_argument("--photos", help="pictures of places to film some people before")
    parser.add_argument("--size", type=json.loads, default={}, help='sizes of new networks, for example {"layers": 12}')
    parser.add_argument("--film", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.film:
        film(options)
        raise SystemExit
    return options


def film(options: argparse.Namespace) -> None:
    """Film people until all are filmed or somebody stops it."""
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / "film.pid").write_text(str(os.getpid()))
    config = TrainConfig(base="scratch", method="full", people=options.people, assets=options.assets or "",
                         photos=options.photos or "", resolution=options.side)  # fmt: skip
    # The first one compiles the CPU's kernels, which the others then find in the cache.
    for people, workers in ((1, 1), (options.people, max(1, len(os.sched_getaffinity(0)) - CORES))):
        film_people(options.work / "samples", replace(config, people=people), window=config.window, device="cpu",
                    workers=workers, progress=lambda done, total: None)  # fmt: skip


class Film:
    """The process group that films into a folder, if any."""

    def __init__(self, work: Path):
        pid = work / "film.pid"
        self.pid = int(pid.read_text()) if pid.is_file() else 0

    @classmethod
    def start(cls, work: Path) -> "Film":
        """Start to film with this call's options, in a session of its own: it outlives this process until stopped."""
        begun = cls(work)
        begun.pid = subprocess.Popen([sys.executable, __file__, "--film", *sys.argv[1:]], start_new_session=True).pid
        return begun

    def __bool__(self) -> bool:
        """Whether it films."""
        state = Path(f"/proc/{self.pid}/stat")
        return self.pid > 0 and state.is_file() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z"

    def stop(self) -> None:
        """End the process and its workers."""
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.killpg(self.pid, signal.SIGKILL)


def wait_for(folder: Path, count: int, film: Film) -> Samples:
    """Return what is filmed as soon as there is enough of it."""
    while len(found := list(folder.glob("train-*.safetensors"))) < count and film:
        time.sleep(0.5)
    say(f"{len(found)} people are filmed")
    return Samples(found)


def train_vae(samples: Samples, config: TrainConfig, work: Path, device: str, seconds: float) -> tuple[Networks, dict]:
    """Train a VAE for some seconds."""
    started = time.monotonic()
    train(Samples(samples.paths[:8]), replace(config, steps=0, vae_steps=TIMED), work / "timed_vae", data="timed",
          device=device)  # fmt: skip
    step = step_seconds(work / "timed_vae", "vae")
    steps = max(TIMED, int((seconds - (time.monotonic() - started)) / step))
    say(f"VAE: {step:.3f} s a step, {steps} steps")
    config = replace(config, steps=0, vae_steps=steps)
    result = train(samples, config, work / "vae", data="vae", device=device, progress=progress)
    return load(result.checkpoint, device), {"steps": steps, "seconds_per_step": step}


def train_transformer(
    samples: Samples, config: TrainConfig, work: Path, base: Networks, device: str, until: float
) -> tuple[Networks, dict]:
    """Train the transformer on all that was filmed until time is over."""
    config = replace(config, base="runs/vae")
    train(Samples(samples.paths[:8]), replace(config, steps=TIMED), work / "timed", data="timed", base=base,
          device=device)  # fmt: skip
    step, encode = step_seconds(work / "timed", "transformer"), 0.02 * len(samples)
    steps = max(TIMED, int((until - time.monotonic() - encode) / step))
    say(f"transformer: {step:.3f} s a step, {steps} steps")
    result = train(samples, replace(config, steps=steps), work / "mini", data="mini", base=base, device=device,
                   until=until, progress=progress)  # fmt: skip
    report = {"steps": result.step, "of": result.total, "seconds_per_step": step, "probe_before": result.probe_before,
              "probe_after": result.probe_after}  # fmt: skip
    return load(result.checkpoint, device), report


def step_seconds(run: Path, phase: str) -> float:
    """Return the mean seconds of a run's later steps, which are not all alike."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines if line["phase"] == phase]
    return float(np.mean(seconds[len(seconds) // 2 :]))


def deliver(networks: Networks, samples: Samples, report: dict, work: Path, options: argparse.Namespace) -> None:
    """Write the generator in parts, and what happened."""
    from emosh_core.training.pictures import draw_sheet

    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    save(networks, work / "shipped", dtype=torch.bfloat16)
    with tarfile.open(work / "mini.tar", "w") as tar:
        tar.add(work / "shipped", arcname="mini")
    data = (work / "mini.tar").read_bytes()
    for i in range(0, len(data), PART):
        (out / f"mini.tar.{i // PART:02d}").write_bytes(data[i : i + PART])
    (out / "gpu_mini.json").write_text(json.dumps(report, indent=2) + "\n")
    shutil.copy(work / "mini" / "metrics.jsonl", out / "metrics.jsonl")
    draw_sheet(networks, samples[0], options.side, out / "sheet.png")
    say(json.dumps(report))


def progress(done: int, total: int, how: str) -> None:
    if done % 200 == 0 and "encoding" not in how:
        say(f"{done}/{total} {how}")


def say(text: str) -> None:
    print(f"{time.monotonic():.0f} {text}", flush=True)


if __name__ == "__main__":
    main()
