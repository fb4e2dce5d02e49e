"""How fast a device computes: a short timing, remembered in the user's cache folder.

`$EMOSH_HOME/cache`, else `$XDG_CACHE_HOME/emosh`, else `~/.cache/emosh` holds one small JSON file per device.
"""

import json
import os
import platform
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from emosh_core.durable import durable_file

REPEATS = 3


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Operations per second of a device, a multiply-add counted as two."""

    matmul: float
    """Of large matrices, in the precision asked for."""
    conv: float
    """Of a 3 × 3 × 3 convolution in fp32, as the VAE computes."""


def cache_folder() -> Path:
    """Return where results that can be measured again lie."""
    if home := os.environ.get("EMOSH_HOME"):
        return Path(home).expanduser() / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "emosh"


def speed_of(device: str, dtype: torch.dtype = torch.float32) -> Speed:
    """Return the speed of a device, measured the first time (a second at most) and then remembered."""
    named = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{platform.node()} cpu"
    threads = "" if device.startswith("cuda") else f" {torch.get_num_threads()}"
    name = re.sub(r"\W+", "-", f"{named}{threads} {dtype} torch {torch.__version__}")
    file = cache_folder() / f"speed-{name}.json"
    try:
        return Speed(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        speed = measure(device, dtype)
    try:
        with durable_file(file) as temporary:
            temporary.write_text(json.dumps(asdict(speed)) + "\n")
    except OSError:  # a home that nobody can write to costs a measurement each time
        pass
    return speed


@torch.no_grad()
def measure(device: str, dtype: torch.dtype) -> Speed:
    """Time a product of matrices and a convolution, each large enough to fill the device."""
    large = device.startswith("cuda")
    n, width, side = (8192, 96, 256) if large else (1024, 32, 48)
    matrix = torch.randn(n, n, device=device).to(dtype)
    video = torch.randn(1, width, 4, side, side, device=device)
    kernel = torch.randn(width, width, 3, 3, 3, device=device)

    def convolve() -> None:
        torch.nn.functional.conv3d(video, kernel, padding=1)

    return Speed(
        matmul=2 * n**3 / _seconds(lambda: matrix @ matrix, device),
        conv=2 * 27 * width**2 * video[0, 0].numel() / _seconds(convolve, device),
    )


def _seconds(call: Callable[[], object], device: str) -> float:
    """Return the shortest of a few times, after one that does not count."""
    times = []
    for _ in range(1 + REPEATS):
        begun = time.perf_counter()
        call()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begun)
    return min(times[1:])
