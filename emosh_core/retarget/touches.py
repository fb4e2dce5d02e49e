"""Find where a driver's hands touch: the other hand, the head, the torso.

A touch is a few pairs of vertices that are close. Driver and target share vertices, so the same pairs
name the same touch on the target.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emosh_core.artifacts import CONTACTS, Motion, keypoint_slice
from emosh_core.retarget.ik import LIMBS
from emosh_core.retarget.probes import PosedProbes
from emosh_core.retarget.spans import Fade, fade, held

HANDS = ("left_hand", "right_hand")
TOUCHES = tuple(name for name in CONTACTS if name.startswith(HANDS))
NEAR, OFF = 0.025, 0.045  # [m] between surfaces: a touch begins, a touch ends
SLOW, FAST = 0.5, 1.0  # [m/s] of a hand about the pelvis: on the torso, faster hands only pass
DEEPEST = 0.08  # [m] behind a surface that still counts as inside it and not as the other side
PAIRS = 24  # pairs of vertices that make a touch
SOFTNESS = 0.004  # [m] pairs that are this much farther apart than the closest count 1/e of it
LOWEST = 0.003  # [m] softness of the lowest point of a hand
FIRMNESS = 0.005  # [m] where a hand touches two things, the looser touch counts 1/e per this much of gap
LOOSEST = 0.01  # how much it counts at least
ASIDE = 0.001  # how much the torso counts beside the face or the other hand, where a miss is seen at once
AT_ONCE = 16  # frames; bounds the memory of all distances
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


def distances(body: PosedProbes, sides: tuple[str, str], wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Measure from each of a hand's probes to the nearest probe of the other side.

    Args:
        wanted: (T,) bool; other frames, and those in which all is farther apart than DEEPEST, are not measured.

    Returns:
        Distance (T, P) [m], negative inside, infinite where it is not measured; the nearest probe (T, P); and the
        height over its tangent plane (T, P) [m], the distance where that is more than DEEPEST.
    """
    hand, other, normals = body.verts(sides[0]), body.verts(sides[1]), body.normals(sides[1])
    distance, nearest = torch.full(hand.shape[:2], torch.inf), torch.zeros(hand.shape[:2], dtype=torch.long)
    height = distance.clone()
    centre = hand.mean(1, keepdim=True)
    close = (other - centre).norm(dim=-1) < (hand - centre).norm(dim=-1).amax(1, keepdim=True) + DEEPEST
    frames = (wanted & close.any(1)).nonzero()[:, 0]
    for first in range(0, len(frames), AT_ONCE):
        rows = frames[first : first + AT_ONCE]
        some = close[rows].any(0).nonzero()[:, 0]
        here, there = hand[rows] - centre[rows], other[rows][:, some] - centre[rows]  # small numbers: float32 is fine
        least, index = torch.cdist(here, there).min(2)
        here, there, index = hand[rows], other[rows], some[index]
        above = ((here - pick(there, index)) * pick(normals[rows], index)).sum(-1)
        distance[rows] = torch.where((above < 0) & (least < DEEPEST), -least, least)
        height[rows] = torch.where(least < DEEPEST, above, least)
        nearest[rows] = index
    return distance, nearest, height


def lowest(height: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the height (T,) [m] of a hand's lowest points, which probes (T, K) these are and their shares in it."""
    height, rows = height.nan_to_num(posinf=1.0).topk(PAIRS, dim=1, largest=False)
    share = torch.softmax(-height / LOWEST, 1)
    return (height * share).sum(1), rows, share


def pick(values: Tensor, rows: Tensor) -> Tensor:
    """Return values (T, N, 3) at rows (T, K) as (T, K, 3)."""
    return values.gather(1, rows[..., None].expand(-1, -1, 3))


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
