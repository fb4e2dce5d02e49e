"""What is on a wall: windows, doors, pictures, skirting boards, curtains, and how light falls on it."""

from dataclasses import dataclass

import cv2
import numpy as np

from emosh_core.synth.scene import patterns
from emosh_core.synth.scene.draws import span


@dataclass
class Wall:
    """A picture of a wall that is being painted; x goes right, y goes up, both from its lower left corner [m]."""

    color: np.ndarray
    """(h, w, 3) float32 sRGB, 0..1."""
    fine: float
    """Pixels per metre."""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height [m]."""
        return self.color.shape[1] / self.fine, self.color.shape[0] / self.fine

    def box(self, x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
        """Return the part between these bounds, to be written to."""
        height = self.color.shape[0]
        rows = [int(np.clip(round(height - y * self.fine), 0, height)) for y in (y1, y0)]
        columns = [int(np.clip(round(x * self.fine), 0, self.color.shape[1])) for x in (x0, x1)]
        return self.color[slice(*rows), slice(*columns)]

    def fill(self, x0: float, x1: float, y0: float, y1: float, color, bevel: float = 0.0) -> None:
        """Paint a board, with light on its upper and shade on its lower edge."""
        part = self.box(x0, x1, y0, y1)
        part[:] = color
        if bevel and min(part.shape[:2]) > 3:
            part[0] *= 1 + bevel
            part[:, 0] *= 1 + bevel / 2
            part[-1] *= 1 - 2 * bevel
            part[:, -1] *= 1 - bevel

    def shadow(self, x0: float, x1: float, y0: float, y1: float, soft: float, strength: float) -> None:
        """Darken what is around a box that stands off the wall."""
        height = self.size[1]
        x = (np.arange(self.color.shape[1], dtype=np.float32) + 0.5) / self.fine
        y = (height - (np.arange(self.color.shape[0], dtype=np.float32) + 0.5) / self.fine)[:, None]
        away = np.hypot(np.maximum(np.maximum(x0 - x, x - x1), 0), np.maximum(np.maximum(y0 - y, y - y1), 0))
        self.color *= (1 - strength * np.exp(-(away**2) / (2 * soft**2)))[..., None]

    def texture(self) -> np.ndarray:
        """Return it as (h, w, 4) uint8."""
        rgb = np.rint(np.clip(self.color, 0, 1) * 255).astype(np.uint8)
        return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


def skirting(wall: Wall, rng: np.random.Generator) -> None:
    """Add a skirting board."""
    high = span(rng, (0.05, 0.14))
    color = np.float32([0.93, 0.92, 0.9]) if rng.random() < 0.65 else patterns.wood(rng)
    wall.fill(0, wall.size[0], 0, high, color * 0.95)
    wall.fill(0, wall.size[0], high - 0.012, high, np.minimum(color * 1.08, 1))
    wall.fill(0, wall.size[0], high, high + 0.008, wall.box(0, wall.size[0], high, high + 0.008) * 0.8)


def window(
    wall: Wall, rng: np.random.Generator, x: float, wide: float, low: float, high: float, curtains: bool
) -> None:
    """Add a window through which daylight comes, with its centre at x [m]."""
    x0, x1 = x - wide / 2, x + wide / 2
    frame = np.float32([0.94, 0.94, 0.92]) if rng.random() < 0.7 else patterns.wood(rng)
    wall.shadow(x0, x1, low, high, 0.05, 0.12)
    wall.fill(x0 - 0.07, x1 + 0.07, low - 0.07, high + 0.07, frame * 0.96, bevel=0.05)
    pane = wall.box(x0, x1, low, high)
    if pane.size:
        pane[:] = _outside(rng, pane.shape[:2])
    bars = int(rng.integers(1, 4))
    for k in range(1, bars + 1):
        at = x0 + (x1 - x0) * k / (bars + 1)
        wall.fill(at - 0.02, at + 0.02, low, high, frame * 0.85)
    if rng.random() < 0.6:
        at = low + (high - low) * span(rng, (0.55, 0.75))
        wall.fill(x0, x1, at - 0.02, at + 0.02, frame * 0.85)
    wall.fill(x0 - 0.12, x1 + 0.12, low - 0.11, low - 0.06, np.minimum(frame * 1.03, 1), bevel=0.06)
    wall.fill(x0 - 0.1, x1 + 0.1, low - 0.15, low - 0.11, wall.box(x0 - 0.1, x1 + 0.1, low - 0.15, low - 0.11) * 0.82)
    if curtains:
        _curtains(wall, rng, x0, x1, high)


def _outside(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return what is seen through a window (h, w, 3): overexposed sky above blurred green or houses."""
    height, width = shape
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    sky = np.float32([0.86, 0.93, 1.0]) * span(rng, (0.9, 1.05))
    below = patterns.hsv(
        *((span(rng, (70, 120)), 0.3, 0.6) if rng.random() < 0.6 else (span(rng, (15, 40)), 0.15, 0.7))
    )
    lattice = rng.standard_normal((1, 9)).astype(np.float32)
    rim = span(rng, (0.45, 0.85)) + 0.1 * cv2.resize(lattice, (width, 1), interpolation=cv2.INTER_CUBIC)
    share = np.clip((y - rim) / 0.08 + 0.5, 0, 1)
    spots = cv2.resize(rng.standard_normal((12, 16)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(patterns.mix(sky, below, share) * (1 + 0.06 * spots * share)[..., None], 0, 1)


def _curtains(wall: Wall, rng: np.random.Generator, x0: float, x1: float, high: float) -> None:
    color = patterns.wall_color(rng) * span(rng, (0.75, 1.0))
    wide = span(rng, (0.3, 0.6))
    top, bottom = min(high + 0.18, wall.size[1]), 0.04
    for start in (x0 - wide * 0.75, x1 - wide * 0.25):
        part = wall.box(start, start + wide, bottom, top)
        if not part.size:
            continue
        x = np.arange(part.shape[1], dtype=np.float32) / wall.fine
        folds = np.sin(2 * np.pi * x / span(rng, (0.07, 0.11)) + np.cumsum(rng.normal(0, 0.03, len(x))))
        folds = 0.82 + 0.16 * folds + 0.05 * np.sin(2 * np.pi * x / 0.23 + 1)
        wall.shadow(start, start + wide, bottom, top, 0.04, 0.12)
        wall.box(start, start + wide, bottom, top)[:] = color * folds[None, :, None]
    wall.fill(x0 - wide, x1 + wide, top, top + 0.025, (0.35, 0.33, 0.3), bevel=0.2)


def door(wall: Wall, rng: np.random.Generator, x: float) -> None:
    """Add a closed door with its centre at x [m]."""
    wide, high = span(rng, (0.8, 0.95)), min(span(rng, (2.0, 2.12)), wall.size[1] - 0.15)
    color = np.float32([0.92, 0.91, 0.88]) * span(rng, (0.85, 1.02)) if rng.random() < 0.55 else patterns.wood(rng)
    wall.shadow(x - wide / 2 - 0.08, x + wide / 2 + 0.08, 0, high + 0.08, 0.03, 0.12)
    wall.fill(x - wide / 2 - 0.08, x + wide / 2 + 0.08, 0, high + 0.08, np.minimum(color * 1.05, 1), bevel=0.05)
    wall.fill(x - wide / 2, x + wide / 2, 0.01, high, color * 0.93, bevel=0.12)
    for y0, y1 in ((0.2, 0.9), (1.05, high - 0.15)) if rng.random() < 0.7 else ():
        wall.fill(x - wide / 2 + 0.12, x + wide / 2 - 0.12, y0, y1, color * 0.78)
        wall.fill(x - wide / 2 + 0.13, x + wide / 2 - 0.13, y0 + 0.01, y1 - 0.01, color * 0.9, bevel=0.05)
    handle = x + rng.choice([-1, 1]) * (wide / 2 - 0.08)
    wall.fill(handle - 0.05, handle + 0.05, 1.02, 1.045, (0.62, 0.6, 0.56), bevel=0.2)


def pictures(wall: Wall, rng: np.random.Generator, x0: float, x1: float) -> None:
    """Hang one to four framed pictures between x0 and x1 [m]."""
    count = int(rng.integers(1, 5))
    middle = span(rng, (1.45, 1.7))
    for k in range(count):
        wide, tall = span(rng, (0.25, 0.8)), span(rng, (0.25, 0.7))
        x = x0 + (x1 - x0) * (k + 0.5) / count
        wide = min(wide, 0.85 * (x1 - x0) / count)
        y = middle + span(rng, (-0.06, 0.06))
        wall.shadow(x - wide / 2 + 0.01, x + wide / 2 + 0.01, y - tall / 2 - 0.02, y + tall / 2, 0.025, 0.3)
        frame = ((0.1, 0.1, 0.1), (0.92, 0.91, 0.88), tuple(patterns.wood(rng)))[rng.integers(3)]
        wall.fill(x - wide / 2, x + wide / 2, y - tall / 2, y + tall / 2, frame, bevel=0.15)
        rim = 0.025
        wall.fill(x - wide / 2 + rim, x + wide / 2 - rim, y - tall / 2 + rim, y + tall / 2 - rim, (0.93, 0.92, 0.89))
        inner = rim + rng.choice([0.0, 0.05])
        part = wall.box(x - wide / 2 + inner, x + wide / 2 - inner, y - tall / 2 + inner, y + tall / 2 - inner)
        if min(part.shape[:2], default=0) > 2:
            part[:] = artwork(rng, part.shape[:2])


def artwork(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return a picture (h, w, 3): a landscape of hills, or soft patches of colour."""
    height, width = shape
    hue, saturation = span(rng, (0, 360)), span(rng, (0.1, 0.55))
    y, x = np.mgrid[:height, :width].astype(np.float32) / [[[height]], [[width]]]
    color = patterns.mix(patterns.hsv(hue, saturation * 0.6, 0.9), patterns.hsv(hue + 30, saturation, 0.75), y)
    if rng.random() < 0.5:
        for k in range(4):
            rim = 0.35 + 0.15 * k + 0.06 * np.sin(2 * np.pi * (x * span(rng, (0.6, 1.6)) + rng.random()))
            hill = patterns.hsv(hue + span(rng, (20, 160)), saturation, 0.75 - 0.13 * k)
            color = patterns.mix(color, hill, np.clip((y - rim) * 40, 0, 1))
        return color
    for _ in range(6):
        centre, spread = rng.random(2), span(rng, (0.08, 0.3))
        blob = np.clip((1 - np.hypot(x - centre[0], y - centre[1]) / spread) * 6, 0, 1)
        color = patterns.mix(
            color, patterns.hsv(hue + span(rng, (-60, 180)), saturation, span(rng, (0.2, 0.95))), 0.8 * blob
        )
    return color


def corners(wall: Wall, strength: float) -> None:
    """Darken the rims, where walls, floor and ceiling shade each other."""
    width, height = wall.size
    x = (np.arange(wall.color.shape[1], dtype=np.float32) + 0.5) / wall.fine
    y = height - (np.arange(wall.color.shape[0], dtype=np.float32) + 0.5) / wall.fine
    dark = lambda away: 1 - strength * np.exp(-away / 0.35)  # noqa: E731
    wall.color *= (dark(x) * dark(width - x))[:, None]
    wall.color *= (dark(y) * dark(height - y))[:, None, None]
