"""When something holds: hysteresis, short spells, and weights that fade in and out.

Times are seconds of the clip, so that nothing depends on an even frame rate.
"""

from dataclasses import dataclass

import numpy as np

LEAST = 0.08  # [s] a touch shorter than this is noise
BRIDGED = 0.1  # [s] a gap shorter than this is none
FADE = 0.15  # [s] before and after a touch in which its correction grows and dies away


@dataclass(frozen=True)
class Fade:
    """Per frame the touched frames before and after it that it leans on, and how much on each.

    A touched frame leans on itself alone. The two weights add up to at most 1.
    """

    before: np.ndarray
    """(T,) int64."""
    after: np.ndarray
    """(T,) int64."""
    weight_before: np.ndarray
    """(T,) float32."""
    weight_after: np.ndarray
    """(T,) float32."""

    @property
    def weight(self) -> np.ndarray:
        """(T,) float32 in 0..1."""
        return self.weight_before + self.weight_after


def spans(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return (start, stop) of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def hysteresis(begins: np.ndarray, goes_on: np.ndarray) -> np.ndarray:
    """Return (T,) bool: from a frame that begins something to both sides as long as it goes on.

    Args:
        begins, goes_on: (T,) bool; what begins also goes on.
    """
    flags = np.zeros(len(begins), bool)
    for start, stop in spans(begins | goes_on):
        flags[start:stop] = begins[start:stop].any()
    return flags


def held(begins: np.ndarray, goes_on: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return `hysteresis` of noisy measurements (T,) bool.

    Gaps shorter than BRIDGED are closed, then spells shorter than LEAST are dropped, unless they touch
    the clip's first or last frame: there they may be longer than what is seen.

    Args:
        begins, goes_on: (T,) bool; what begins also goes on.
        time: (T,) [s], ascending.
    """
    flags = hysteresis(begins, goes_on)
    ends = np.append(time, time[-1:] + (np.median(np.diff(time)) if len(time) > 1 else 0))  # a frame lasts
    for start, stop in spans(~flags):
        if start > 0 and stop < len(flags) and ends[stop] - ends[start] < BRIDGED:
            flags[start:stop] = True
    for start, stop in spans(flags):
        if start > 0 and stop < len(flags) and ends[stop] - ends[start] < LEAST:
            flags[start:stop] = False
    return flags


def fade(flags: np.ndarray, time: np.ndarray) -> Fade:
    """Return how the frames around touches lean on them.

    A weight falls from 1 to 0 over FADE; where two touches are closer than two such times, one fades
    into the other over the whole gap.

    Args:
        flags: (T,) bool, frames with the touch.
        time: (T,) [s], ascending.
    """
    frames = np.arange(len(flags))
    before, after = frames.copy(), frames.copy()
    weights = np.zeros((2, len(flags)))
    weights[0, flags] = 1
    for start, stop in spans(~flags):
        gap, first, last = slice(start, stop), start - 1, stop
        length = FADE
        if start > 0 and stop < len(flags) and time[last] - time[first] < 2 * FADE:
            length = time[last] - time[first]
        if start > 0:
            before[gap], weights[0, gap] = first, _smooth(1 - (time[gap] - time[first]) / length)
        if stop < len(flags):
            after[gap], weights[1, gap] = last, _smooth(1 - (time[last] - time[gap]) / length)
    return Fade(before, after, *weights.astype(np.float32))


def _smooth(x: np.ndarray) -> np.ndarray:
    """Return 3x² − 2x³ of x clipped to 0..1: no kink at either end."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
