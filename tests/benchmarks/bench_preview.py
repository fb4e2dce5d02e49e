"""How fast and how close the preview generator is: `python tests/benchmarks/bench_preview.py WORKSPACE`.

Runs its tests first. Speed: frames of the workspace's newest target at 512², drawing only, with one and
with two threads. Closeness: the first frame of the tracked clip is the still and the clip's own motion
drives it; PSNR and SSIM of the other frames against the clip.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numba
import numpy as np
import torch
from machine import device_name

from emosh_core.artifacts import Motion, Target
from emosh_core.body.assets import load_body
from emosh_core.generate.generator import Reference
from emosh_core.generate.preview import PreviewGenerator
from emosh_core.line import Line
from emosh_core.metrics.image import psnr, ssim
from emosh_core.segmentation import person_mask
from emosh_core.video_io import open_source
from emosh_core.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]
SIZE = (512, 512)
STRIDE = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path, nargs="?", default=ROOT / "demo_workspace")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "preview.json")
    parser.add_argument("--no-tests", action="store_true")
    options = parser.parse_args()
    if not options.no_tests:
        tests = [sys.executable, "-m", "pytest", "-q", "tests/core/generate/test_preview.py"]
        subprocess.run(tests, cwd=ROOT, check=True)
    line = Line(Workspace.open(options.workspace))
    motion_step = line.take(line.driver())
    motion = line.load(motion_step, Motion)
    frames = [frame for _, frame in open_source(line.source(motion_step)).frames()]
    still = Reference(image=frames[0], motion=first_frame(motion), mask=person_mask(frames[0]))
    step = line.newest_target()
    target = line.load(step, Target) if step else motion
    report = {
        "benchmark": "preview",
        "clip": motion_step.name,
        "speed_512": speed(target, still),
        "self_driven": closeness(motion, still, frames),
        "device": device_name(),
        "load_average": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numba": numba.__version__},
        "date": datetime.date.today().isoformat(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))


def first_frame(motion: Motion) -> Motion:
    """Return the first frame of a motion as a motion of one frame."""
    perframe = [f.name for f in fields(motion) if f.metadata.get("dims", ("",))[0] == "frame"]
    return replace(motion, **{name: getattr(motion, name)[:1] for name in perframe})


def speed(target: Motion, still: Reference) -> dict[str, float]:
    """Return frames per second of the best of several chunks, and the seconds that the second set-up takes.

    Other processes on the machine only ever make a chunk slower: the best is the machine's own.
    """
    PreviewGenerator(target, still, load_body(), SIZE)  # compiles
    start = time.perf_counter()
    generator = PreviewGenerator(target, still, load_body(), SIZE)
    figures = {"setup_s": time.perf_counter() - start}
    count = min(len(target.time), generator.window)
    indices = np.linspace(0, len(target.time) - 1, count).astype(int)  # the whole range of the motion
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        generator.generate(indices, seed=0, state={})
        seconds, busy = [], []
        for _ in range(9):
            start, used = time.perf_counter(), time.process_time()
            generator.generate(indices, seed=0, state={})
            seconds.append(time.perf_counter() - start)
            busy.append(time.process_time() - used)
        figures[f"frames_per_s_{threads}_threads"] = count / min(seconds)
        figures[f"median_frames_per_s_{threads}_threads"] = count / float(np.median(seconds))
        figures[f"cpu_ms_per_frame_{threads}_threads"] = 1000 * min(busy) / count
    torch.set_num_threads(before)
    return figures


def closeness(motion: Motion, still: Reference, frames: list[np.ndarray]) -> dict[str, float]:
    """Return mean PSNR [dB] and SSIM of the clip's later frames against what its first frame becomes."""
    generator = PreviewGenerator(motion, still, load_body())
    indices = np.arange(STRIDE, len(motion.time), STRIDE)
    made = generator.generate(indices, seed=0, state={}).frames
    pairs = [((frame * 255).round().astype(np.uint8), frames[t]) for t, frame in zip(indices, made, strict=True)]
    return {
        "frames": len(pairs), "psnr": float(np.mean([psnr(*pair) for pair in pairs])),
        "ssim": float(np.mean([ssim(*pair) for pair in pairs])),
    }  # fmt: skip


if __name__ == "__main__":
    main()
