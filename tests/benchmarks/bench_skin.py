"""How fast skinning is, by implementation and threads: `python tests/benchmarks/bench_skin.py`.

The two loads that matter here: the tracker's landmark body forwards and backwards, and the whole body
for drawing. The reference is one dense matrix product for all frames.
"""

import argparse
import json
import platform
import statistics
import time

import numba
import torch
from emosh_kernels.skin import bind, skin

from emosh_core.body.assets import load_body


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=50)
    options.add_argument("--device", default="cpu")
    given = options.parse_args()
    body = load_body(device=given.device)
    compiled = "numba" if given.device == "cpu" else "triton"
    figures = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for impl in ("reference", compiled):
            for name, model, frames, backward in (
                ("landmarks_100_frames_with_gradients", body.for_landmarks(), 100, True),
                ("whole_body_16_frames", body, 16, False),
            ):
                figures[f"{name}_{impl}_{threads}_threads"] = _time(model, frames, backward, impl, given.repeats)
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numba": numba.__version__}
    print(json.dumps({"benchmark": "skin", "device": given.device, "ms": figures, "versions": versions}, indent=2))


def _time(model, frames: int, backward: bool, impl: str, repeats: int) -> dict[str, float]:
    """Return the least and the median time of skinning all frames, once forwards (and backwards) [ms]."""
    torch.manual_seed(0)
    device = model.template.device
    verts = model.template.expand(frames, -1, -1).clone().requires_grad_(backward)
    transforms = torch.randn(frames, len(model.joints), 3, 4).to(device).requires_grad_(backward)
    binding, wave = bind(model.lbs_weights), torch.randn(verts.shape).to(device)
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        posed = skin(verts, binding, transforms, impl=impl)
        if backward:
            verts.grad = transforms.grad = None
            posed.backward(wave)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1000)
    times = times[2:]  # compiled and warm
    return {"min": min(times), "median": statistics.median(times)}


if __name__ == "__main__":
    main()
