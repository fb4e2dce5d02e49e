"""What a generator is: something that makes one chunk of frames at a time.

`emosh_core.generate.animate` plans the chunks, calls the generator once per chunk, keeps what each
call returned so that a killed run can continue, and drops overlapping and padded frames. A
generator therefore knows nothing of the length of the clip, of files or of resuming.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from emosh_core.artifacts import Motion


@dataclass(frozen=True, kw_only=True)
class Camera:
    """What took one picture."""

    K: np.ndarray
    """(3, 3) [px]."""
    w2c: np.ndarray
    """(4, 4)."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The still picture of the person to be moved, and that person's fit."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    motion: Motion
    """One frame: pose, shape and camera of the person in `image`; `motion.size` is (W, H) [px]."""
    mask: np.ndarray | None = None
    """(H, W) bool, True on the person; None where nobody segmented the picture."""
    camera: Camera | None = None
    """What took the picture, in the target's world axes, if it shows another moment of the target's own scene."""


def _no_latents() -> np.ndarray:
    return np.zeros((0, 0, 0, 0), np.float32)


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """What one call of a generator returns."""

    frames: np.ndarray
    """(n, H, W, 3) float32 RGB in [0, 1], one for each index asked for, overlap and padding included."""
    state: dict[str, np.ndarray] = field(default_factory=dict)
    """What the next chunk needs (fp32 tail frames, latents); empty for generators without memory."""
    latents: np.ndarray = field(default_factory=_no_latents)
    """(latent frame, channel, y, x) float32 as decoded; (0, 0, 0, 0) for generators without latents."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What one chunk of some length takes."""

    tokens: int
    """In the transformer's sequence."""
    transformer: float
    """Operations of all sampling steps, a multiply-add counted as two."""
    vae: float
    """Operations of encoding the conditions and decoding the result."""
    memory: int
    """Bytes on the device at the peak, weights included; what is not weights is good to a factor of about 1.5."""
    half: bool
    """Whether the transformer computes in bf16 where the device can."""


class Generator(Protocol):
    """Makes the frames of a target, chunk by chunk; constructors take target, cond, reference, ..."""

    name: str
    """What `Clip.generator` records, for example "preview" or "runs/first"."""
    window: int
    """Frames per chunk."""
    overlap: int
    """Frames that a chunk shares with the one before it; 0 for generators without memory."""
    workload: Callable[[int, bool], Workload] | None
    """From the frames of a chunk, and whether it continues another one; None where no network works."""

    def use_window(self, frames: int) -> None:
        """Make chunks of so many frames from now on: any number without networks, else 4k + 1 above the overlap."""
        ...

    def split(self, gpus: int) -> None:
        """Split forward passes among GPUs; refuse where that cannot be."""
        ...

    def generate(self, indices: np.ndarray, *, seed: int, state: dict[str, np.ndarray]) -> Chunk:
        """Make the frames of one chunk.

        Args:
            indices: (window,) int64, frames of the target to show, each valid; past the end of the
                clip they turn back (zig-zag), so that a chunk is always full.
            seed: this chunk's own; the only source of randomness.
            state: `Chunk.state` of the previous chunk; empty for the first.

        Returns:
            The chunk. Equal arguments give bit-equal chunks on the same device.
        """
        ...
