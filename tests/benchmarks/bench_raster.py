"""How fast the rasteriser draws the whole body: `python tests/benchmarks/bench_raster.py`.

Checks the compiled kernel against the reference first, then times both. The ratio is taken at 64 px,
where the reference, which tries every face at every pixel, ends within seconds.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numba
import torch
from emosh_kernels.rasterize import rasterize

from emosh_core.body.assets import load_body
from emosh_core.geometry.camera import default_intrinsics
from emosh_core.render.colors import mean_in_t_pose

ROOT = Path(__file__).parents[2]
SMALL = 64


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "raster.json")
    out = options.parse_args().out
    subprocess.run([sys.executable, "-m", "pytest", "-q", "tests/kernels/test_rasterize.py"], cwd=ROOT, check=True)
    body = load_body()
    faces = torch.as_tensor(body.faces)
    figures = {}
    for name, distance, height in (("body", 2.6, 0.0), ("bust", 0.75, 0.6)):
        verts = _standing(body, distance, height)
        for size in (256, 512):
            figures[f"{name}_{size}"] = _time(verts.repeat(8, 1, 1), faces, size, "numba", repeats=9)
    verts = _standing(body, 2.6, 0.0)
    reference = _time(verts, faces, SMALL, "reference", repeats=1)
    compiled = _time(verts, faces, SMALL, "numba", repeats=9)
    report = {
        "benchmark": "raster",
        "faces": len(faces),
        "ms_per_frame": figures,
        "frames_per_s_body_512": 1000 / figures["body_512"]["median"],
        "reference_64": reference,
        "numba_64": compiled,
        "ratio_to_reference_64": reference["median"] / compiled["median"],
        "device": f"{_cpu_name()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "load_average": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numba": numba.__version__},
        "date": datetime.date.today().isoformat(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))


def _standing(body, distance: float, height: float) -> torch.Tensor:
    """Return the mean body (1, V, 3) [m], `distance` away, the camera `height` above the body's middle."""
    verts = mean_in_t_pose(body).verts[0]
    middle = (verts.amax(0) + verts.amin(0)) / 2
    return ((verts - middle - torch.tensor([0, height, 0])) * torch.tensor([1, -1, -1]))[None] + torch.tensor(
        [0, 0, distance]
    )


def _time(verts: torch.Tensor, faces: torch.Tensor, size: int, impl: str, repeats: int) -> dict[str, float]:
    """Return the median and the spread of the time per frame [ms]."""
    k = torch.as_tensor(default_intrinsics(size, size))
    if impl == "numba":
        rasterize(verts, faces, k, (size, size), impl=impl)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        rasterize(verts, faces, k, (size, size), impl=impl)
        times.append((time.perf_counter() - start) * 1000 / len(verts))
    return {"median": statistics.median(times), "min": min(times), "max": max(times)}


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
