"""What a camera does to a clean picture: soft focus, colours, tone, fall-off towards the corners, grain."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emosh_core.synth.scene.draws import span
from emosh_core.synth.scene.lights import kelvin_rgb

SHOT, READ = 0.045, 0.012
"""Standard deviation of the noise at level 1: of light at brightness 1, and of the electronics at any."""
PLAY = 61
"""Frames cut their grain out of a tile that is larger than they are by so much [px]; a prime hides repetition."""


@dataclass(frozen=True, kw_only=True)
class Film:
    """How a clip is recorded."""

    shot: float = 0.0
    """Standard deviation of the noise that grows with the square root of the brightness, at brightness 1."""
    read: float = 0.0
    """Standard deviation of the noise that is everywhere."""
    coarse: float = 0.0
    """How much the grain is blurred, 0..1."""
    soft: float = 0.0
    """How much the picture is blurred as by a plain lens: share of a 3 × 3 average, 0..1."""
    vignette: float = 0.0
    """How much darker the corners are, 0..1."""
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors on red, green and blue."""
    contrast: float = 0.0
    """Of an S-curve around the middle, −0.5..0.8."""
    lift: float = 0.0
    """Brightness of black."""

    def apply(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """Record frames.

        Args:
            frames: (T, H, W, 3) float32 sRGB, 0..1; already averaged over the time that the shutter is open.
            rng: of the grain, which is another in every frame.

        Returns:
            (T, H, W, 3) uint8.
        """
        out = torch.empty(frames.shape, dtype=torch.uint8, device=frames.device)
        gain = self._gain(frames)
        grain = self._grain(frames, rng) if self.shot or self.read else None
        # On a CPU one frame after the other stays in the cache, and in memory that is there already.
        at_once = 1 if frames.device.type == "cpu" else len(frames)
        work, spare = (torch.empty_like(frames[:at_once]) for _ in range(2))
        for first in range(0, len(frames), at_once):
            own = slice(first, first + at_once)
            torch.mul(frames[own], gain, out=work)
            noise = torch.stack(grain[own]) if grain and at_once > 1 else grain and grain[first]
            out[own] = self._develop(work, spare, noise)
        return out

    def _develop(self, x: Tensor, spare: Tensor, noise: Tensor | None) -> Tensor:
        """Return `x` (B, H, W, 3) as 0..255; overwrites it and the memory beside it."""
        if self.soft:
            for axis in (1, 2):
                inner, side = x.narrow(axis, 1, x.shape[axis] - 2), spare.narrow(axis, 1, x.shape[axis] - 2)
                torch.add(x.narrow(axis, 0, x.shape[axis] - 2), x.narrow(axis, 2, x.shape[axis] - 2), out=side)
                inner.mul_(1 - 2 / 3 * self.soft).add_(side, alpha=self.soft / 3)
        x.clamp_(0, 1)
        if self.contrast:
            # An S-curve that keeps 0, ½ and 1: x + c (2x − 1) x (1 − x).
            torch.mul(x, -2 * self.contrast, out=spare).add_(3 * self.contrast)
            x.mul_(spare.mul_(x).add_(1 - self.contrast))
        if noise is not None:
            x.addcmul_(torch.mul(x, self.shot**2, out=spare).add_(self.read**2).sqrt_(), noise)
        return x.mul_(255 * (1 - self.lift)).add_(255 * self.lift + 0.5).clamp_(0, 255)

    def _gain(self, frames: Tensor) -> Tensor:
        """Return the factor (H, W, 3) of white balance and vignette."""
        height, width = frames.shape[1:3]
        y, x = (torch.linspace(-side, side, side, device=frames.device) for side in (height, width))
        corner = (x**2 + y[:, None] ** 2) / (height**2 + width**2)
        fall = (1 - self.vignette * corner * (0.4 + 0.6 * corner))[..., None]
        return fall * torch.tensor(self.balance, device=frames.device)

    def _grain(self, frames: Tensor, rng: np.random.Generator) -> list[Tensor]:
        """Return noise of unit variance for each frame, cut out of one tile at random places."""
        count, height, width, _ = frames.shape
        tile = rng.standard_normal((height + PLAY + 1, width + PLAY + 1, 3), np.float32)
        if self.coarse:
            a, b = 1 - self.coarse / 2, self.coarse / 2
            tile = a * tile + b * np.roll(tile, 1, 0)
            tile = (a * tile + b * np.roll(tile, 1, 1)) / np.float32(a * a + b * b)
        tile = torch.as_tensor(tile).to(frames.device)
        places = rng.integers(0, PLAY, (count, 2))
        return [tile[y : y + height, x : x + width] for y, x in places]


def choose_film(rng: np.random.Generator, level: float) -> Film:
    """Draw a way to record.

    Args:
        level: how bad the recording may be: 0 is clean, 1 a phone in dim light.
    """
    if level == 0:
        return Film()
    noise = level * span(rng, (0.4, 1.0))
    kelvin = np.exp(rng.normal(np.log(5800), 0.1 * level))
    balance = kelvin_rgb(kelvin) ** 0.5 * np.exp(rng.normal(0, 0.012 * level, 3))
    return Film(
        shot=SHOT * noise, read=READ * noise, coarse=span(rng, (0.2, 0.9)),
        soft=level * span(rng, (0.0, 0.7)), vignette=level * span(rng, (0.0, 0.35)),
        balance=tuple(float(x) for x in balance / balance.max()),
        contrast=span(rng, (-0.15, 0.35)) * min(1.0, 0.3 + level),
        lift=level * span(rng, (0.0, 0.05)),
    )  # fmt: skip
