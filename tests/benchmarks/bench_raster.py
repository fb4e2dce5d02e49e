"""How fast the body is drawn and condition pictures are made: `python tests/benchmarks/bench_raster.py`.

Checks the compiled kernels against the reference first. Every figure is the least and the median of many
runs. Beside them stand the time that the bytes alone would take, by a copy measured in the same run, and
PyTorch3D where it can be loaded. The ratio to the reference is taken at 64 px, where the reference,
which tries every face at every pixel, ends within seconds.
"""

import argparse
import datetime
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from emosh_kernels.rasterize import rasterize
from machine import device_name

from emosh_core.artifacts import KEYPOINTS, Motion, Shape, trust_of
from emosh_core.body.assets import load_body
from emosh_core.body.joints import JOINT_NAMES
from emosh_core.body.pose import EXPRESSION_SIZE, Pose, zero_pose
from emosh_core.geometry.camera import CAMERA_AT_ORIGIN, default_intrinsics
from emosh_core.render.colors import mean_in_t_pose
from emosh_core.render.condition import render_condition
from emosh_core.settings import RenderConfig

ROOT = Path(__file__).parents[2]
SMALL, SIZE, CLIP = 64, 512, 77
BYTES_PER_PIXEL = 4 + 4 + 12
"""face_id, depth and bary, each written once."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "raster.json")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--untested", action="store_true", help="leave out the tests (they ran just before)")
    given = options.parse_args()
    if not given.untested:
        command = [sys.executable, "-m", "pytest", "-q", "tests/kernels", "--confcutdir", "tests/kernels"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    body = load_body(device=given.device)
    figures = on_cuda(body) if given.device.startswith("cuda") else on_cpu(body)
    report = {
        "benchmark": "raster",
        "faces": len(body.faces),
        **figures,
        "peer_pytorch3d": peer(body, given.device),
        "device": device_name(given.device),
        "load_average": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), "torch": torch.__version__} | versions("numba", "triton"),
        "date": datetime.date.today().isoformat(),
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))


def on_cpu(body) -> dict:
    """Time the numba kernels on one and two threads."""
    verts, bust = standing(body, 2.6, 0.0), standing(body, 0.75, 0.6)
    rounds = {}
    for _ in range(10):  # by turns, so that both numbers of threads see the same moods of the machine
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for name, edges in (("body_512", None), ("body_512_outlines", body.edges)):
                figures = drawing(body, verts, SIZE, edges=edges, repeats=15)
                rounds.setdefault(f"{name}_{threads}_threads", []).append(figures)
    ms = {
        name: {"min": min(f["min"] for f in figures), "median": statistics.median(f["median"] for f in figures)}
        for name, figures in rounds.items()
    }
    ms |= {"bust_512": drawing(body, bust, SIZE), "body_256": drawing(body, verts, 256)}
    reference = drawing(body, verts, SMALL, impl="reference", frames=1, repeats=1)
    compiled = drawing(body, verts, SMALL, frames=1)
    one, two = (ms[f"body_512_{threads}_threads"]["min"] for threads in (1, 2))
    floor = bandwidth_floor(body, "cpu")
    return {
        "ms_per_frame": ms,
        "two_threads_against_one": one / two,
        "floor_by_bytes": floor,
        "one_thread_against_floor": one / floor["ms_per_frame"],
        "condition_77_frames_with_zarr": condition(body, write_zarr=importlib.util.find_spec("zarr") is not None),
        "reference_64_ms": reference["min"],
        "ratio_to_reference_64": reference["min"] / compiled["min"],
    }


def on_cuda(body) -> dict:
    """Time the Triton kernels; batches that fill the machine."""
    verts = standing(body, 2.6, 0.0)
    drawn = drawing(body, verts, SIZE, frames=64, repeats=30)
    floor = bandwidth_floor(body, "cuda")
    return {
        "ms_per_frame": {"body_512": drawn, "body_512_outlines": drawing(body, verts, SIZE, frames=64, repeats=15,
                                                                         edges=body.edges)},
        "frames_per_s_body_512": 1000 / drawn["median"],
        "floor_by_bytes": floor,
        "against_floor": drawn["median"] / floor["ms_per_frame"],
        "condition_77_frames": condition(body, write_zarr=False),
        "kernels_ms_per_frame": {
            name: drawing(body, verts, SIZE, frames=8, repeats=5, impl=name) for name in ("triton",)
        },
    }  # fmt: skip


def drawing(body, verts, size: int, *, impl="auto", edges=None, frames=8, repeats=150) -> dict[str, float]:
    """Return the least and the median time per frame [ms]."""
    verts = verts.repeat(frames, 1, 1)
    k = torch.as_tensor(default_intrinsics(size, size), device=verts.device)
    times = []
    for _ in range(repeats + (impl != "reference")):
        start = time.perf_counter()
        rasterize(verts, body.faces, k, (size, size), edges=edges, impl=impl)
        if verts.is_cuda:
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1000 / frames)
    times = times[1:] if len(times) > 1 else times  # compiled and warm
    return {"min": min(times), "median": statistics.median(times)}


def condition(body, *, write_zarr: bool, repeats: int = 5) -> dict[str, float]:
    """Time `render_condition` on a moving body, pictures fetched to the host, the artifact written if asked."""
    motion = dancing(body)
    config = RenderConfig(size=f"{SIZE}x{SIZE}")
    times = []
    for _ in range(repeats + 1):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            cond = render_condition(motion, body, config)
            if write_zarr:
                from emosh_core.workspace.artifact import Provenance, write

                write(Path(folder) / "cond.zarr", cond, Provenance(fingerprint="bench"))
            times.append(time.perf_counter() - start)
    rates = [CLIP / t for t in times[1:]]
    return {"frames_per_s_best": max(rates), "frames_per_s_median": statistics.median(rates),
            "covered": float(cond.mask.mean()), "zarr": write_zarr}  # fmt: skip


def dancing(body) -> Motion:
    """Make a clip in which arms, legs, fingers and the whole body move."""
    phase = np.arange(CLIP)[:, None] / 12
    pose = {f.name: np.repeat(getattr(zero_pose(), f.name).numpy(), CLIP, 0) for f in fields(Pose)}
    for name, size, speed in (("left_shoulder", 0.8, 1.0), ("right_shoulder", 0.8, 1.3), ("left_hip", 0.5, 0.7)):
        pose["body_pose"][:, JOINT_NAMES.index(name) - 1] = size * np.sin(speed * phase + [0, 1, 2])
    pose["left_hand_pose"][..., 2] = -0.3 + 0.3 * np.sin(phase)
    pose["global_orient"][:, 1:2] = 0.6 * np.sin(0.4 * phase)
    pose["transl"] += np.float32([0, 0.1, -3.0])
    points, always = sum(KEYPOINTS.values()), np.ones(CLIP, bool)
    zeros = lambda *dims: np.zeros((CLIP, *dims), np.float32)  # noqa: E731
    shape = Shape(
        betas_body=np.zeros(32, np.float32), betas_head=np.zeros(64, np.float32),
        betas_body_std=np.ones(32, np.float32), betas_head_std=np.ones(64, np.float32), head_scale=1.0,
        hand_scale=1.0, body_model=body.name,
    )  # fmt: skip
    assert pose["expression"].shape[1] == EXPRESSION_SIZE
    return Motion(
        **pose, joints=zeros(55, 3), eyelid=zeros(2), K=np.tile(default_intrinsics(SIZE, SIZE), (CLIP, 1, 1)),
        w2c=np.repeat(CAMERA_AT_ORIGIN[None], CLIP, 0), keypoints2d=zeros(points, 2), confidence=zeros(points) + 1,
        face_valid=always, left_hand_valid=always, right_hand_valid=always, person_valid=always,
        trust=trust_of(*[always] * 4),
        reprojection_error=zeros(), time=np.arange(CLIP) / 30, shape=shape, fps=30.0, size=(SIZE, SIZE),
        body_model=body.name,
    )  # fmt: skip


def bandwidth_floor(body, device: str) -> dict[str, float]:
    """Return the bytes that a frame must move and the time that a copy of so many takes in this run."""
    count = SIZE * SIZE * BYTES_PER_PIXEL + body.template.nbytes + len(body.faces) * 12
    source = torch.ones(256 << 20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(7):
        start = time.perf_counter()
        target.copy_(source)
        if source.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    rate = 2 * source.nbytes / best
    return {"bytes_per_frame": count, "copy_GB_per_s": rate / 1e9, "ms_per_frame": count / rate * 1000}


def peer(body, device: str) -> dict | str:
    """Time PyTorch3D at 256 px in this process, or say why it cannot be."""
    verts = standing(body, 2.6, 0.0)
    try:
        theirs = drawing(body, verts, 256, impl="pytorch3d", frames=1, repeats=2 if device == "cpu" else 20)
    except RuntimeError as error:
        return f"not measured: {error}"
    ours = drawing(body, verts, 256, frames=1)
    return {"size": 256, "theirs_ms": theirs, "ours_ms": ours, "ratio": theirs["min"] / ours["min"]}


def standing(body, distance: float, height: float) -> torch.Tensor:
    """Return the mean body (1, V, 3) [m], `distance` away, the camera `height` above the body's middle."""
    verts = mean_in_t_pose(body).verts[0]
    turned = verts.new_tensor([1, -1, -1])
    middle = (verts.amax(0) + verts.amin(0)) / 2
    return ((verts - middle - verts.new_tensor([0, height, 0])) * turned)[None] + verts.new_tensor([0, 0, distance])


def versions(*packages: str) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


if __name__ == "__main__":
    main()
