"""Feet that stand: found on the driver; on the target they stand on one floor and slide no more than the driver's."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emosh_core.artifacts import Motion, keypoint_slice
from emosh_core.body.probes import PosedProbes
from emosh_core.geometry.spans import Fade, fade, held, spans

FEET = ("left_foot", "right_foot")
POINTS = {"left_foot": [27, 29, 31], "right_foot": [28, 30, 32]}  # ankle, heel, toe among the detector's body points
SEEN = 0.5  # mean confidence of these points in a foot that counts as seen
SLOW, FAST = 0.25, 0.5  # [m/s] of heel or ball: standing begins, standing ends
LOW, HIGH = 0.05, 0.10  # [m] of the sole above the floor, likewise
FLOOR_SHARE = 10  # [%] of a slow foot's frames that may be lower than the floor
LEEWAY = 0.01  # [m] that a sole may be off the floor: a straight leg would have to bend 10° for it
SOFTNESS = 0.015  # [m] the higher of heel and ball counts 1/e per this much


@dataclass(frozen=True)
class Stand:
    """One foot's times on the floor, and its move while it stands."""

    fade: Fade
    move: Tensor
    """(T, 3) [m], the fades are in it."""


@dataclass(frozen=True)
class Soles:
    """Heel and ball of one foot in T frames."""

    place: np.ndarray
    """(T, 2, 3) middle of heel and ball [m]."""
    height: np.ndarray
    """(T, 2) world y of the lowest vertex of each [m]."""

    @property
    def lowest(self) -> np.ndarray:
        """(T,) world y [m]."""
        return self.height.min(1)


def find_stands(motion: Motion, driver: PosedProbes, target: PosedProbes, ratio: float) -> dict[str, Stand]:
    """Find when each of the driver's feet stands and how the target's must move to stand as still.

    Args:
        motion: the driver; frames in which a foot was not seen are left out.
        driver, target: probes in all frames.
        ratio: how far the target travels for each metre of the driver's.

    Returns:
        Per foot that stands at some time, by the names of `ik.LIMBS`.
    """
    before, after = ({foot: _soles(body, foot) for foot in FEET} for body in (driver, target))
    seen = {foot: _seen(motion, foot) for foot in FEET}
    speed = {foot: _speed(before[foot], motion.time) for foot in FEET}
    slow = {foot: seen[foot] & (speed[foot] < SLOW) for foot in FEET}
    low = np.concatenate([before[foot].lowest[slow[foot]] for foot in FEET])
    if not len(low):
        return {}
    floor = np.percentile(low, FLOOR_SHARE)
    flags = {}
    for foot in FEET:
        height = before[foot].lowest - floor
        goes_on = seen[foot] & (speed[foot] < FAST) & (height < HIGH)
        flags[foot] = held(slow[foot] & (height < LOW) & goes_on, goes_on, motion.time)
    rise = [after[foot].lowest[flags[foot]] - before[foot].lowest[flags[foot]] for foot in FEET]
    if not len(rise := np.concatenate(rise)):
        return {}
    stands = {}
    for foot in FEET:
        if flags[foot].any():
            move = _slide(before[foot], after[foot], flags[foot], ratio)
            height = before[foot].lowest + np.median(rise) - after[foot].lowest
            move[:, 1] = np.sign(height) * np.maximum(np.abs(height) - LEEWAY, 0)
            fading = fade(flags[foot], motion.time)
            faded = fading.weight_before[:, None] * move[fading.before]
            faded += fading.weight_after[:, None] * move[fading.after]
            stands[foot] = Stand(fading, torch.from_numpy(faded.astype(np.float32)))
    return stands


def _slide(before: Soles, after: Soles, flags: np.ndarray, ratio: float) -> np.ndarray:
    """Return the move (T, 3) [m] over the ground that takes out what the target slides and the driver does not.

    The slide is summed from frame to frame at heel and ball, by how low each is, so that a foot may
    roll from one to the other; each stand keeps its mean place.
    """
    share = np.exp(-(before.height - before.height.min(1, keepdims=True)) / SOFTNESS)
    share /= share.sum(1, keepdims=True)
    move = np.zeros((len(flags), 3))
    for start, stop in spans(flags):
        step = np.diff(after.place[start:stop], axis=0) - ratio * np.diff(before.place[start:stop], axis=0)
        weight = (share[start : stop - 1] + share[start + 1 : stop]) / 2
        slid = np.concatenate([np.zeros((1, 3)), np.cumsum((weight[..., None] * step).sum(1), axis=0)])
        move[start:stop] = slid.mean(0) - slid
    return move


def _soles(body: PosedProbes, foot: str) -> Soles:
    side = foot.split("_")[0]
    parts = [body.verts(f"{side}_{part}").double().numpy() for part in ("heel", "ball")]
    return Soles(np.stack([p.mean(1) for p in parts], 1), np.stack([p[..., 1].min(1) for p in parts], 1))


def _speed(soles: Soles, time: np.ndarray) -> np.ndarray:
    """Return the speed of heel or ball, whichever is slower (T,) [m/s]."""
    if len(time) < 2:
        return np.zeros(len(time))
    return np.linalg.norm(np.gradient(soles.place, time, axis=0), axis=-1).min(1)


def _seen(motion: Motion, foot: str) -> np.ndarray:
    """Say per frame (T,) whether the detector saw the foot."""
    points = motion.confidence[:, keypoint_slice("body")][:, POINTS[foot]]
    return motion.person_valid & (points.mean(-1) >= SEEN)
