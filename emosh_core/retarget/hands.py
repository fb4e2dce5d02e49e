"""Hands that touch: the other hand, the head, the torso. Found on the driver, asked of the target.

A touch is a few pairs of vertices that are close on the driver. Driver and target share vertices and,
before any correction, every joint's direction, so the same pairs must be apart by the same vectors.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emosh_core.artifacts import CONTACTS, Motion, keypoint_slice
from emosh_core.body.ehm import PosedBody
from emosh_core.retarget.ik import LIMBS, within_reach
from emosh_core.retarget.probes import Probes
from emosh_core.retarget.spans import Fade, fade, held

HANDS = ("left_hand", "right_hand")
TOUCHES = tuple(name for name in CONTACTS if name.startswith(HANDS))
NEAR, OFF = 0.025, 0.045  # [m] between surfaces: a touch begins, a touch ends
SLOW, FAST = 0.5, 1.0  # [m/s] of a hand about the pelvis: on the torso, faster hands only pass
DEEPEST = 0.08  # [m] behind a surface that still counts as inside it and not as the other side
PAIRS = 24  # pairs of vertices that make a touch
SOFTNESS = 0.008  # [m] pairs that are this much farther apart than the closest count 1/e of it
REST = 1e-3  # how little it costs to move a hand that touches, against missing the touch by as much
ROUNDS = 3  # turns in which each hand makes up for what the other cannot reach
AT_ONCE = 32  # frames; bounds the memory of all distances
WRIST = {"left_hand": 15, "right_hand": 16}  # the detector's body points
SEEN = 0.5  # confidence of a point that counts as seen


@dataclass(frozen=True)
class Touch:
    """One hand on one thing, through the whole clip."""

    sides: tuple[str, str]
    """Regions of the probes."""
    fade: Fade
    rows: tuple[Tensor, Tensor]
    """Per side (T, K): the vertices that touch, rows of the region."""
    shares: Tensor
    """(T, K) weight of each pair, rows sum to 1."""


def find_touches(motion: Motion, posed: PosedBody, probes: Probes) -> dict[str, Touch]:
    """Find every touch of a driver's hands, by the names of CONTACTS.

    Args:
        motion: the driver; frames in which neither arm nor hand was seen are left out.
        posed: its probes in all frames.
    """
    found = {}
    speed = {hand: _speed(posed, hand, motion.time) for hand in HANDS}
    for name in TOUCHES:
        hand, other = sides = tuple(name.split("-"))
        seen = np.logical_and.reduce([_seen(motion, side) for side in sides if side in HANDS])
        if not seen.any():
            continue
        distance, nearest = _distances(probes, posed, sides, torch.from_numpy(seen))
        gap = distance.amin(1).numpy()
        begins, goes_on = gap < NEAR, gap < OFF
        if other == "torso":
            begins, goes_on = begins & (speed[hand] < SLOW), goes_on & (speed[hand] < FAST)
        flags = held(begins & seen, goes_on & seen, motion.time)
        if flags.any():
            far, rows = distance.topk(PAIRS, dim=1, largest=False)
            shares = torch.softmax(-(far - far[:, :1]).nan_to_num(0.0) / SOFTNESS, 1)
            found[name] = Touch(sides, fade(flags, motion.time), (rows, nearest.gather(1, rows)), shares)
    return found


def mismatch(touch: Touch, driver: PosedBody, target: PosedBody, probes: Probes) -> Tensor:
    """Return how far (T, 3) [m] the hand should move against the other side to touch as on the driver.

    Around a touch it is measured at the vertices of the touched frames that the fade leans on.
    """
    here = [probes.verts(body, side) for body in (driver, target) for side in touch.sides]
    total = torch.zeros(len(here[0]), 3)
    weights = [torch.from_numpy(w) for w in (touch.fade.weight_before, touch.fade.weight_after)]
    for weight, source in zip(weights, (touch.fade.before, touch.fade.after), strict=True):
        one, two = (_pick(here[k], touch.rows[0][source]) - _pick(here[k + 1], touch.rows[1][source]) for k in (0, 2))
        total += weight[:, None] * ((one - two) * touch.shares[source][..., None]).sum(1)
    return total / sum(weights).clamp(min=1e-6)[:, None]


def hand_moves(touches: dict[str, Touch], wanted: dict[str, Tensor], joints: Tensor) -> dict[str, Tensor]:
    """Share the wanted moves out to the two hands.

    Least squares per frame: Σ_touches w |Δ_hand − Δ_other − r|² + Σ_hands (1 − max w + REST) |Δ_hand|².
    So one touch alone moves its hand by w r, two hands meet halfway, and a hand between two touches
    finds the middle. Then each hand in turn makes up for what the other cannot reach.

    Args:
        wanted: per touch r (T, 3) [m], see `mismatch`.
        joints: (T, 55, 3) the target's joints [m].

    Returns:
        Per hand the move of its wrist (T, 3) [m], within reach.
    """
    frames = len(joints)
    matrix, right = torch.zeros(frames, 2, 2), torch.zeros(frames, 2, 3)
    strongest = torch.zeros(frames, 2)
    for name, touch in touches.items():
        weight = torch.from_numpy(touch.fade.weight)
        signs = torch.tensor([float(hand == touch.sides[0]) - float(hand == touch.sides[1]) for hand in HANDS])
        matrix += weight[:, None, None] * signs[:, None] * signs
        right += weight[:, None, None] * signs[:, None] * wanted[name][:, None]
        strongest = torch.maximum(strongest, weight[:, None] * signs.abs())
    matrix += torch.diag_embed(1 - strongest + REST)
    moves = torch.linalg.solve(matrix, right)
    for _ in range(ROUNDS):
        for k, hand in enumerate(HANDS):
            alone = (right[:, k] - matrix[:, k, 1 - k, None] * moves[:, 1 - k]) / matrix[:, k, k, None]
            moves[:, k] = within_reach(joints, LIMBS[hand], alone)
    return dict(zip(HANDS, moves.unbind(1), strict=True))


def _seen(motion: Motion, hand: str) -> np.ndarray:
    """Say per frame (T,) whether the hand's place is known: its fingers were read, or the arm's wrist was seen."""
    wrist = motion.confidence[:, keypoint_slice("body")][:, WRIST[hand]] >= SEEN
    return motion.person_valid & (getattr(motion, f"{hand}_valid") | wrist)


def _speed(posed: PosedBody, hand: str, time: np.ndarray) -> np.ndarray:
    """Return the speed of a wrist about the turning pelvis (T,) [m/s]."""
    if len(time) < 2:
        return np.zeros(len(time))
    place = posed.joints[:, LIMBS[hand].joints[2]] - posed.joints[:, 0]
    place = (posed.rotmats[:, 0].mT @ place[..., None])[..., 0]
    return np.linalg.norm(np.gradient(place.numpy(), time, axis=0), axis=-1)


def _distances(probes: Probes, posed: PosedBody, sides: tuple[str, str], seen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance of each of a hand's probes to the other side (T, P) [m], and its nearest probe there (T, P).

    It is 0 behind the surface, and infinite in frames that are not seen or in which all is farther than DEEPEST.
    """
    hand, other = (probes.verts(posed, side) for side in sides)
    normals = probes.posed_normals(posed, sides[1])
    distance = torch.full(hand.shape[:2], torch.inf)
    nearest = torch.zeros(hand.shape[:2], dtype=torch.long)
    centre = hand.mean(1, keepdim=True)
    close = (other - centre).norm(dim=-1).amin(1) < (hand - centre).norm(dim=-1).amax(1) + DEEPEST
    for rows in (seen & close).nonzero()[:, 0].split(AT_ONCE):
        middle = other[rows].mean(1, keepdim=True)  # small numbers, so that float32 is fine
        here, there = hand[rows] - middle, other[rows] - middle
        least, index = torch.cdist(here, there).min(2)
        height = ((here - _pick(there, index)) * _pick(normals[rows], index)).sum(-1)
        distance[rows] = torch.where((height < 0) & (least < DEEPEST), 0.0, least)
        nearest[rows] = index
    return distance, nearest


def _pick(values: Tensor, rows: Tensor) -> Tensor:
    """Return values (T, N, 3) at rows (T, K) as (T, K, 3)."""
    return values.gather(1, rows[..., None].expand(-1, -1, 3))
