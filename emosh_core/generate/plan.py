"""What an animation will take: chunks that fit the clip and the device, and the seconds and bytes they cost."""

import math
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from emosh_core.device import computes_bf16
from emosh_core.errors import ConfigError
from emosh_core.generate.chunks import plan_chunks
from emosh_core.generate.generator import Generator, Workload
from emosh_core.generate.speed import Speed, speed_of
from emosh_core.settings import AnimateConfig

LEAST_SHARE = 3 / 7
"""A chunk is at least this share of what its networks were trained on: 33 of 77 frames."""
USABLE = 0.9
"""Share of a device's memory that is counted on."""
ATTAINED = {"cpu": 0.8, "cuda": 0.5}
"""Share of the rate of a large product of matrices that a transformer reaches. Measured on a CPU with small networks;
on CUDA derived from Wan 2.2's published times: 411 of 800 TFLOP/s on an H100."""


@dataclass(frozen=True, kw_only=True)
class AnimationPlan:
    """What will be made, and what that is predicted to cost."""

    frames: int
    """To be delivered."""
    chunks: int
    window: int
    """Frames per chunk."""
    overlap: int
    tokens: int = 0
    """Of the longest chunk; 0 without networks."""
    seconds: float = 0.0
    """Predicted for the networks; drawing the preview and encoding the video come on top."""
    memory: int = 0
    """Predicted peak [bytes]."""
    device: str = "cpu"
    room: int = 0
    """Memory of the device [bytes]."""

    def __str__(self) -> str:
        chunks = "1 chunk" if self.chunks == 1 else f"{self.chunks} chunks"
        text = f"plan: {chunks} of {self.window} frames, overlap {self.overlap}, for {self.frames} frames"
        if not self.tokens:
            return f"{text}; no networks"
        cost = f"{self.tokens:,} tokens, about {self.seconds:.3g} s and {self.memory / 1e9:.3g} GB"
        return f"{text}; {cost} (of {self.room / 1e9:.3g} GB) on {self.device}"


def plan_animation(generator: Generator, count: int, config: AnimateConfig, device: str) -> AnimationPlan:
    """Choose the frames per chunk and predict the cost.

    Args:
        count: frames of the target.
        config: `window` frames per chunk, 0 for the best that fits; `chunks` to make of them.
        device: where the networks are.

    Raises:
        ConfigError: the generator cannot make chunks of so many frames.
    """
    work, overlap, room = generator.workload, generator.overlap, device_memory(device)
    if config.window:
        window = config.window
        if work is not None:
            check_window(window, overlap)
    elif work is None:
        window = generator.window
    else:
        later = count > generator.window

        def fits(frames: int) -> bool:
            return work(frames, later).memory <= USABLE * room

        window = fit_window(count, generator.window, overlap, fits)
    plan = plan_chunks(count, window=window, overlap=overlap)[: config.chunks or None]
    made = {"frames": min(count, plan[-1].stop), "chunks": len(plan), "window": window, "overlap": overlap}
    if work is None:
        return AnimationPlan(**made)
    each = [work(window, k > 0) for k in range(min(2, len(plan)))]
    half = each[0].half and computes_bf16(torch.device(device))
    speed = speed_of(device, torch.bfloat16 if half else torch.float32)
    times = [seconds(one, speed, device) for one in each]
    return AnimationPlan(
        **made, tokens=each[-1].tokens, seconds=times[0] + (len(plan) - 1) * times[-1],
        memory=max(one.memory for one in each), device=device, room=room,
    )  # fmt: skip


def seconds(work: Workload, speed: Speed, device: str) -> float:
    """Predict how long one chunk takes [s]."""
    return work.transformer / (ATTAINED[torch.device(device).type] * speed.matmul) + work.vae / speed.conv


def check_window(window: int, overlap: int) -> None:
    """Refuse a number of frames per chunk that networks cannot make.

    Raises:
        ConfigError: it is not 4k + 1, or not above the overlap.
    """
    if window % 4 != 1 or window <= overlap:
        near = max(window // 4 * 4 + 1, overlap // 4 * 4 + 5)
        raise ConfigError(
            f"networks make chunks of 4k + 1 frames, more than the {overlap} that two chunks share",
            found=f"{window} frames per chunk", fix=f"--chunks {near}f",
        )  # fmt: skip


def fit_window(count: int, made_for: int, overlap: int, fits: Callable[[int], bool]) -> int:
    """Return the frames per chunk that suit a clip and a device: no more chunks than needed, and those no longer.

    Args:
        count: frames of the clip.
        made_for: what the networks were trained on, which is the most.
        fits: whether the device has room for chunks of so many frames; where it has for none, the least is taken.
    """
    least = min(made_for, max(overlap + 4, 4 * math.ceil((LEAST_SHARE * made_for - 1) / 4) + 1))
    sizes = range(made_for, least - 1, -4)
    most = next((size for size in sizes if fits(size)), sizes[-1])
    chunks = len(plan_chunks(count, window=most, overlap=overlap))
    enough = [s for s in sizes if s <= most and len(plan_chunks(count, window=s, overlap=overlap)) == chunks]
    return enough[-1]


def device_memory(device: str) -> int:
    """Return how much memory a device has [bytes]: all of it, so that the same call always makes the same plan."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_properties(device).total_memory
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # a container may have less; "max" and other systems say nothing
        room = min(room, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return room
