"""Smooth curves over time that motion is made of. Clocks are seconds (T,), angles radians."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter1d

PARTIALS = 5  # sines that make a wandering


def ease(x: ArrayLike) -> np.ndarray:
    """Go from 0 to 1 as x does, with no jump in speed or acceleration.

    The minimum-jerk course of human reaching, 10x³ − 15x⁴ + 6x⁵ (Flash and Hogan 1985, J. Neurosci. 5:1688).
    """
    x = np.clip(x, 0, 1)
    return x**3 * (10 - 15 * x + 6 * x * x)


def moves(clock: np.ndarray, first: ArrayLike, strokes: Sequence[tuple[float, float, ArrayLike]]) -> np.ndarray:
    """Go from one held value to the next.

    A stroke that begins before the last one ended adds to it, so that the path rounds the corner.

    Args:
        clock: (T,) [s].
        first: (*D) where it is before the first stroke.
        strokes: begin [s], end [s] and the new value (*D) of each, in order.

    Returns:
        (T, *D).
    """
    held = np.asarray(first, np.float64)
    shape = (-1,) + (1,) * held.ndim
    path = np.broadcast_to(held, (len(clock), *held.shape)).copy()
    for begin, end, value in strokes:
        value = np.asarray(value, np.float64)
        path += ease((clock - begin) / max(end - begin, 1e-3)).reshape(shape) * (value - held)
        held = value
    return path


def hump(clock: np.ndarray, begin: float, rise: float, hold: float, fall: float) -> np.ndarray:
    """Return (T,): from 0 up to 1 within `rise`, there for `hold`, down within `fall` [s]."""
    return ease((clock - begin) / rise) - ease((clock - begin - rise - hold) / fall)


def wander(rng: np.random.Generator, clock: np.ndarray, hertz: float, size: ArrayLike) -> np.ndarray:
    """Return a smooth random curve (T, *D) with mean 0 whose standard deviation over time is `size` (*D).

    Args:
        hertz: its fastest part; the slowest has a quarter of it.
    """
    size = np.asarray(size, np.float64)
    rates = 2 * np.pi * hertz * rng.uniform(0.25, 1, (PARTIALS, *size.shape))
    phases = rng.uniform(0, 2 * np.pi, (PARTIALS, *size.shape))
    waves = np.sin(np.multiply.outer(clock, rates) + phases)
    return waves.sum(1) * np.sqrt(2 / PARTIALS) * size


def events(rng: np.random.Generator, clock: np.ndarray, shortest: float, longest: float) -> np.ndarray:
    """Return the times [s] of events whose gaps are drawn evenly from an interval; the first may come at once."""
    count = int((clock[-1] - clock[0]) / shortest) + 3
    times = clock[0] + rng.uniform(0, longest) + np.cumsum(np.append(0, rng.uniform(shortest, longest, count)))
    return times[times < clock[-1]]


def smoothed(values: np.ndarray, frames: float) -> np.ndarray:
    """Blur over time with a Gaussian of this standard deviation; the ends hold still."""
    return gaussian_filter1d(values, frames, axis=0, mode="nearest") if frames > 0 else values
