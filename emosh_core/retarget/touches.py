"""Find where a driver's hands touch: the other hand, the head, the torso.

A touch is a few pairs of vertices that are close. Driver and target share vertices, so the same pairs
name the same touch on the target.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emosh_core.artifacts import CONTACTS, Motion, keypoint_slice
from emosh_core.body.ik import LIMBS
from emosh_core.body.probes import PAIRS, PosedProbes, distances, lowest
from emosh_core.geometry.spans import Fade, fade, held

HANDS = ("left_hand", "right_hand")
TOUCHES = tuple(name for name in CONTACTS if name.startswith(HANDS))
NEAR, OFF = 0.025, 0.045  # [m] between surfaces: a touch begins, a touch ends
SLOW, FAST = 0.5, 1.0  # [m/s] of a hand about the pelvis: on the torso, faster hands only pass
SOFTNESS = 0.004  # [m] pairs that are this much farther apart than the closest count 1/e of it
FIRMNESS = 0.005  # [m] where a hand touches two things, the looser touch counts 1/e per this much of gap
LOOSEST = 0.01  # how much it counts at least
ASIDE = 0.001  # how much the torso counts beside the face or the other hand, where a miss is seen at once
WRIST = {"left_hand": 15, "right_hand": 16}  # the detector's body points
SEEN = 0.5  # confidence of a point that counts as seen


@dataclass(frozen=True)
class Touch:
    """One hand on one thing, through the whole clip."""

    sides: tuple[str, str]
    """Regions of the probes."""
    flags: np.ndarray
    """(T,) bool: it touches."""
    fade: Fade
    rows: tuple[Tensor, Tensor]
    """Per side (T, K): the vertices that touch, rows of the region."""
    shares: Tensor
    """(T, K) weight of each pair, rows sum to 1."""
    firmness: Tensor
    """(T,) how much the touch counts against others of the same hand, in (0, 1]."""
    gap: Tensor
    """(T,) height of the hand's lowest points over the other side [m], negative inside it."""


def find_touches(motion: Motion, driver: PosedProbes) -> dict[str, Touch]:
    """Find every touch of a driver's hands, by the names of CONTACTS.

    Args:
        motion: the driver; frames in which neither arm nor hand was seen are left out.
        driver: its probes in all frames.
    """
    found = {}
    speed = {hand: _speed(driver, hand, motion.time) for hand in HANDS}
    for name in TOUCHES:
        hand, other = sides = tuple(name.split("-"))
        seen = np.logical_and.reduce([_seen(motion, side) for side in sides if side in HANDS])
        distance, nearest, height = distances(driver, sides, torch.from_numpy(seen))
        closest = distance.amin(1).clamp(min=0)
        gap = closest.numpy()
        begins, goes_on = seen & (gap < NEAR), seen & (gap < OFF)
        if other == "torso":
            begins, goes_on = begins & (speed[hand] < SLOW), goes_on & (speed[hand] < FAST)
        # Where a short gap was closed without a measurement, the fade leans on the frames around it.
        flags = held(begins, goes_on, motion.time) & np.isfinite(gap)
        if flags.any():
            firmness = torch.exp(-closest / FIRMNESS).clamp(min=LOOSEST)
            firmness *= ASIDE if other == "torso" else 1.0
            far, rows = distance.nan_to_num(posinf=1.0).topk(PAIRS, dim=1, largest=False)
            found[name] = Touch(
                sides=sides, flags=flags, fade=fade(flags, motion.time), rows=(rows, nearest.gather(1, rows)),
                shares=torch.softmax(-far / SOFTNESS, 1), firmness=firmness, gap=lowest(height)[0],
            )  # fmt: skip
    return found


def _seen(motion: Motion, hand: str) -> np.ndarray:
    """Say per frame (T,) whether the hand's place is known: its fingers were read, or the arm's wrist was seen."""
    wrist = motion.confidence[:, keypoint_slice("body")][:, WRIST[hand]] >= SEEN
    return motion.person_valid & (getattr(motion, f"{hand}_valid") | wrist)


def _speed(body: PosedProbes, hand: str, time: np.ndarray) -> np.ndarray:
    """Return the speed of a wrist about the turning pelvis (T,) [m/s]."""
    if len(time) < 2:
        return np.zeros(len(time))
    place = body.joints[:, LIMBS[hand].joints[2]] - body.joints[:, 0]
    place = (body.posed.rotmats[:, 0].mT @ place[..., None])[..., 0]
    return np.linalg.norm(np.gradient(place.numpy(), time, axis=0), axis=-1)
