"""Cloth: colours, weaves, prints, and the shading of folds, as functions of places on the body."""

import numpy as np

from emosh_core.synth.painted.noise import ramp, smooth_noise

KINDS = ("plain", "stripes", "checks", "print", "denim", "knit", "dots", "heather")
ARM_FROM, LEG_FROM = 0.19, -0.10
"""Beyond this distance from the middle, and below this height, cloth is laid around a limb [m]."""
LEG, ARM = (0.109, 0.0), (0.384, 0.025)
"""Axes of a leg (x, z) and of an arm (y, z) on the mean body in the T-pose [m]."""


def lay(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far around (N,) and along (N,) trunk or limb places (N, 4) lie [m]."""
    x, y, z = place[:, :3].T
    trunk = 0.15 * np.arctan2(x, z + 0.01), y
    leg = 0.085 * np.arctan2(np.abs(x) - LEG[0], z - LEG[1]), y
    arm = 0.06 * np.arctan2(z - ARM[1], y - ARM[0]), np.abs(x)
    on_arm, on_leg = (np.abs(x) > ARM_FROM) & (place[:, 3] > 0.2), y < LEG_FROM
    return tuple(np.where(on_arm, a, np.where(on_leg, b, c)) for a, b, c in zip(arm, leg, trunk, strict=True))


def weave(place: np.ndarray, around, along, kind: str, colors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the colours (N, 3) of a cloth, folds included.

    Args:
        place: (N, 4) what `on_person` returned, at texels.
        around, along: (N,) what `lay` returned [m].
        kind: one of `KINDS`.
        colors: (2, 3) base and second colour, 0..1.
    """
    base, second = np.asarray(colors, np.float32)
    size = rng.uniform(0.012, 0.045)
    share = _pattern(kind, place, around, along, size, rng)
    cloth = base + share[:, None] * (second - base)
    grain = 0.03 * smooth_noise(place, 0.005, rng) + 0.03 * smooth_noise(place, 0.05, rng)
    if kind == "denim":
        twill = np.sin(2 * np.pi * (around + along) / 0.004)
        worn = ramp(smooth_noise(place, 0.14, rng), -0.5, 2.0)
        grain = grain + 0.05 * twill + 0.22 * worn + 0.05 * smooth_noise(place, (0.004, 0.06, 0.004), rng)
    if kind == "knit":
        grain = grain + 0.10 * np.sin(2 * np.pi * around / 0.008) * np.sin(2 * np.pi * along / 0.01)
    if kind == "heather":
        grain = grain + 0.07 * smooth_noise(place, (0.02, 0.003, 0.02), rng)
    return (cloth * (1 + grain + _folds(place, along, rng))[:, None]).clip(0, 1)


def _pattern(kind: str, place, around, along, size: float, rng: np.random.Generator) -> np.ndarray:
    """Return the share (N,) of the second colour."""
    wave = lambda x, period: 0.5 + 0.5 * np.sin(2 * np.pi * x / period)  # noqa: E731
    edge = lambda x: ramp(x, 0.42, 0.58)  # noqa: E731
    if kind == "stripes":
        width = rng.uniform(0.3, 0.7)
        return ramp(wave(along, 1.6 * size), width - 0.1, width + 0.1)
    if kind == "checks":
        return 0.5 * (edge(wave(along, 2 * size)) + edge(wave(around, 2 * size)))
    if kind == "dots":
        period = 1.3 * size
        row = np.floor(along / period)
        x, y = (around / period + 0.5 * row) % 1 - 0.5, along / period - row - 0.5
        return ramp(np.hypot(x, y), 0.30, 0.22)
    if kind == "print":
        return _print(place, rng)
    return np.zeros(len(place))


def _print(place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A figure on the chest: a ring, a sun, a bar with a gap, hills."""
    x, y = place[:, 0], place[:, 1] - rng.uniform(0.24, 0.30)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    soft = lambda distance: ramp(distance, 0.0015, -0.0015)  # noqa: E731
    choice, size = rng.integers(4), rng.uniform(0.05, 0.08)
    if choice == 0:
        found = soft(np.abs(radius - size) - 0.2 * size) + soft(radius - 0.4 * size)
    elif choice == 1:
        found = soft(radius - size * (0.75 + 0.25 * np.cos(rng.integers(5, 11) * angle)))
    elif choice == 2:
        found = soft(np.maximum(np.abs(y) - 0.35 * size, np.abs(x) - 1.3 * size)) * (1 - soft(np.abs(x % 0.03) - 0.004))
    else:
        hills = 0.4 * size * np.sin(x / size * 4) + 0.2 * size * np.sin(x / size * 9 + 1)
        found = soft(np.maximum(y - hills, radius - 1.2 * size)) + soft(np.abs(radius - 1.2 * size) - 0.004)
    return found.clip(0, 1) * (place[:, 2] > 0.02)


def _folds(place: np.ndarray, along: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return how much brighter (N,) folds make the cloth: cross-wise at joints, slanted on the trunk."""
    x, y, z = place[:, :3].T
    slant = place[:, :3] + np.stack([0.35 * y, 0.35 * np.abs(x), 0 * x], 1)
    loose = smooth_noise(slant, (0.16, 0.05, 0.09), rng)
    bent = np.exp(-(((np.abs(x) - 0.42) / 0.09) ** 2)) * (y > 0.2) + np.exp(-(((y + 0.44) / 0.10) ** 2))
    bent = bent + 0.8 * np.exp(-(((y + 0.08) / 0.06) ** 2)) + 0.7 * np.exp(-(((y + 0.82) / 0.07) ** 2))
    cross = smooth_noise(np.stack([0.6 * x, along, 0.6 * z], 1), (0.1, 0.02, 0.1), rng)
    return 0.055 * loose + 0.085 * bent.clip(0, 1) * cross
