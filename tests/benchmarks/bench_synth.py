"""How fast synthetic people are made, and whether a detector takes them for people.

`python tests/benchmarks/bench_synth.py [--assets PACK]` runs its tests first. Speed: clips at 256², anti-aliased, on
all processors, everything included (people, motion, drawing, video, artifacts), and drawing alone on one
thread. Believability: MediaPipe looks at frames of clips of the test split; counted are frames in which the
person faces the camera and is large enough; its 2-D body points are compared with the truth.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import device_name

from emosh_core.artifacts import Motion, Truth, keypoint_slice
from emosh_core.body.assets import load_body
from emosh_core.body.joints import HEAD
from emosh_core.body.pose import pose_from_motion
from emosh_core.settings import SynthConfig
from emosh_core.synth.clip import Shooting, choose_scene
from emosh_core.synth.dice import Dice
from emosh_core.synth.make import Set, make_clips, open_wardrobe, usual_workers
from emosh_core.synth.report import takes
from emosh_core.tracker.detectors import MediaPipeDetector
from emosh_core.video_io import open_source
from emosh_core.workspace.artifact import read

ROOT = Path(__file__).parents[2]
FACING = 50
"""The head's forward axis is at most this far from the camera [degrees]."""
LARGE = {"body": 96, "face": 40}
"""Height of the person and of the face [px] from which on a detector is expected to find them."""
CONFIDENT = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--device", default="cpu", help="cuda measures drawing alone")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--untested", action="store_true")
    options = parser.parse_args()
    if not options.untested:
        subprocess.run([sys.executable, "-m", "pytest", "-q", "tests/core/synth"], cwd=ROOT, check=True)
    name = "synth" + ("_pack" if options.assets else "") + ("_cuda" if options.device != "cpu" else "")
    report = {
        "benchmark": name,
        "drawing_256": drawing(options.assets, options.device),
        "device": device_name(options.device),
        "load_average": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
    }
    if options.device == "cpu":  # MediaPipe and the encoder run there
        report |= {"everything_256": everything(options.assets), "detector_512": believe(options.assets, options.clips)}
    out = options.out or ROOT / "benchmarks" / "results" / f"{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))


def everything(assets: Path | None) -> dict[str, float]:
    """Return frames per second of whole clips on all processors."""
    config = SynthConfig(resolution=256, aspect="1:1")
    set_ = Set.named("train", seed=1, others=0, assets=assets, config=config, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        list(make_clips(Path(folder), set_, [100], workers=1))  # compiles
        started = time.perf_counter()
        frames = sum(made for _, made in make_clips(Path(folder), set_, list(range(12)), workers=usual_workers(set_)))
        return {"frames_per_s": round(frames / (time.perf_counter() - started), 1), "processes": usual_workers(set_)}


def drawing(assets: Path | None, device: str) -> dict[str, float]:
    """Return frames per second of drawing alone: clips whose people and motions are there already."""
    config, threads = SynthConfig(resolution=256, aspect="1:1"), torch.get_num_threads()
    torch.set_num_threads(1)
    body, wardrobe, seconds = load_body(device=device), open_wardrobe(str(assets or ""), device), []
    for clip in (0, *range(4)):
        shooting = Shooting(choose_scene(Dice(1, "train", clip), config, wardrobe, body), 0, wardrobe, body)
        started = time.perf_counter()
        shooting.film(lambda frames: None)
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    torch.set_num_threads(threads)
    return {"frames_per_s": round(4 * config.frames / sum(seconds[1:]), 1), "threads": 1}  # the first compiles


def believe(assets: Path | None, clips: int) -> dict:
    """Return how often MediaPipe finds body and face where it should, and how far its points lie from the truth."""
    config = SynthConfig(frames=17)
    set_ = Set.named("test", seed=None, others=0, assets=assets, config=config, device="cpu")
    detector, found, errors = MediaPipeDetector(static=True), {"body": [], "face": []}, []
    with tempfile.TemporaryDirectory() as folder:
        list(make_clips(Path(folder), set_, list(range(clips)), workers=usual_workers(set_)))
        for take in takes(Path(folder), range(clips)):
            motion, truth = read(take / "motion.zarr", Motion), read(take / "truth.zarr", Truth)
            some = np.arange(0, config.frames, 4)
            frames = [frame for _, frame in open_source(take / "video.mp4").frames()]
            seen = detector.detect(frames[t] for t in some)
            turned, height = facing(motion)[some], heights(motion)
            for part in found:
                there = getattr(motion, "face_valid" if part == "face" else "person_valid")[some]
                asked = turned & there & (height[part][some] >= LARGE[part])
                hit = seen.confidence[:, keypoint_slice(part)].max(1) > CONFIDENT
                found[part] += hit[asked].tolist()
            body = keypoint_slice("body")
            both = truth.keypoint_visible[some, body] & (seen.confidence[:, body] > CONFIDENT)
            gap = np.linalg.norm(seen.keypoints2d[:, body] - motion.keypoints2d[some, body], axis=-1)
            errors.append((gap / height["body"][some][:, None])[both])
    errors = np.concatenate(errors)
    return {
        "frames": {part: len(hits) for part, hits in found.items()},
        "found": {part: round(float(np.mean(hits)), 4) for part, hits in found.items()},
        "joint_error_of_height": {"median": round(float(np.median(errors)), 4),
                                  "p90": round(float(np.quantile(errors, 0.9)), 4), "joints": len(errors)},
    }  # fmt: skip


def facing(motion: Motion) -> np.ndarray:
    """Say in which frames the head faces the camera (T,)."""
    pose = pose_from_motion(motion)
    turned, joints = load_body().with_shape_of(motion.shape).place_joints(pose.rotmats(), pose.transl)
    eye = -np.einsum("tji,tj->ti", motion.w2c[:, :3, :3], motion.w2c[:, :3, 3])
    to_eye = eye - joints[:, HEAD].numpy()
    forward = turned[:, HEAD, :, 2].numpy()
    cosine = (forward * to_eye).sum(1) / np.linalg.norm(to_eye, axis=1)
    return cosine > np.cos(np.radians(FACING))


def heights(motion: Motion) -> dict[str, np.ndarray]:
    """Return how tall the standing person and the face are in each frame [px]."""
    rest = load_body().with_shape_of(motion.shape).rest_verts
    stature = float(rest[:, 1].amax() - rest[:, 1].amin())
    depth = np.einsum("ti,ti->t", motion.w2c[:, 2, :3], motion.joints[:, 0]) + motion.w2c[:, 2, 3]
    face = motion.keypoints2d[:, keypoint_slice("face"), 1]
    return {"body": stature * motion.K[:, 1, 1] / depth, "face": np.ptp(face, axis=1)}


if __name__ == "__main__":
    main()
