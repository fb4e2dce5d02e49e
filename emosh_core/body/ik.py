"""Move the end of an arm or a leg by bending two joints; the hand or foot keeps its direction.

The middle joint opens or closes by the law of cosines, in the plane in which it is bent already; then
the whole limb turns about its root along the shortest arc. Angles between vectors as in Rodrigues'
formula; nothing is iterated.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from emosh_core.body.joints import PARENTS

LONGEST = 0.998  # of the stretched limb; a limb is never quite straight
SOFT = 0.98  # of the stretched limb; from here on the end lags behind what is wanted
MOST_BENT = 2.6  # [rad] between upper and lower bone
NEARLY_STRAIGHT = 0.1  # sine of the bend below which the hinge says in which plane a limb bends that must move …
SOME = 0.01  # [m] … by this much; by less, the hinge says less


@dataclass(frozen=True)
class Limb:
    """Two bones: joints of the body from the trunk outwards, and how the middle one bends in the T-pose."""

    joints: tuple[int, int, int]
    hinge: tuple[float, float, float]
    """Axis of a positive bend, in the T-pose."""


LIMBS = {
    "left_hand": Limb((16, 18, 20), (0.0, -1.0, 0.0)), "right_hand": Limb((17, 19, 21), (0.0, 1.0, 0.0)),
    "left_foot": Limb((1, 4, 7), (1.0, 0.0, 0.0)), "right_foot": Limb((2, 5, 8), (1.0, 0.0, 0.0)),
}  # fmt: skip


def within_reach(joints: Tensor, limb: Limb, delta: Tensor) -> Tensor:
    """Shorten a wanted move of a limb's end to one that its two bones can make.

    Args:
        joints: (T, 55, 3) posed joints [m].
        delta: (T, 3) wanted move of the end in world axes [m].

    Returns:
        (T, 3) the move it makes [m].
    """
    root, middle, end = (joints[:, j] for j in limb.joints)
    upper, lower = (middle - root).norm(dim=-1), (end - middle).norm(dim=-1)
    line = end + delta - root
    wanted, now, whole = line.norm(dim=-1), (end - root).norm(dim=-1), upper + lower
    soft = torch.maximum(now, SOFT * whole)
    room = (torch.maximum(now, LONGEST * whole) - soft).clamp(min=1e-6)
    far = soft + room * (1 - torch.exp(-(wanted - soft).clamp(min=0) / room))
    bent = (upper**2 + lower**2 + 2 * upper * lower * torch.cos(torch.tensor(MOST_BENT))).sqrt()
    length = torch.where(wanted > soft, far, torch.maximum(wanted, torch.minimum(bent, now)))
    return root + line * (length / wanted.clamp(min=1e-6))[:, None] - end


def move_end(rotmats: Tensor, joints: Tensor, limb: Limb, delta: Tensor) -> Tensor:
    """Bend a limb so that its end moves and keeps its direction in the world.

    Args:
        rotmats: (T, 55, 3, 3) each joint's rotation away from the zero pose, in world axes.
        joints: (T, 55, 3) posed joints [m].
        delta: (T, 3) move of the end [m], within reach.

    Returns:
        (T, 3, 3, 3): new rotations of the limb's three joints relative to their parents.
    """
    root, middle, end = (joints[:, j] for j in limb.joints)
    upper, lower = middle - root, end - middle
    along = torch.nn.functional.normalize(upper, dim=-1)
    hinge = rotmats[:, limb.joints[0]] @ torch.tensor(limb.hinge, dtype=upper.dtype)
    hinge = hinge * (delta.norm(dim=-1, keepdim=True) / SOME).clamp(max=1)
    aside = _bend_direction(along, lower, hinge)
    long, short = upper.norm(dim=-1, keepdim=True), lower.norm(dim=-1, keepdim=True)
    reach = (end + delta - root).norm(dim=-1, keepdim=True)
    cosine = ((reach**2 - long**2 - short**2) / (2 * long * short)).clamp(-1, 1)
    bent = short * (cosine * along + (1 - cosine**2).clamp(min=0).sqrt() * aside)
    swing = shortest_arc(upper + bent, end + delta - root)
    first = swing @ rotmats[:, limb.joints[0]]
    second = swing @ shortest_arc(lower, bent) @ rotmats[:, limb.joints[1]]
    chain = [rotmats[:, PARENTS[limb.joints[0]]], first, second, rotmats[:, limb.joints[2]]]
    return torch.stack([a.mT @ b for a, b in pairwise(chain)], 1)


def _bend_direction(along: Tensor, lower: Tensor, hinge: Tensor) -> Tensor:
    """Return the unit direction (T, 3), square to the upper bone, to which the lower bone leans or, if straight, bends.

    Args:
        along: (T, 3) direction of the upper bone.
        lower: (T, 3) the lower bone.
        hinge: (T, 3) axis of a positive bend, as long as it shall count.
    """
    square = lambda v: v - (v * along).sum(-1, keepdim=True) * along  # noqa: E731
    leaning = square(torch.nn.functional.normalize(lower, dim=-1))
    straight = 1 - (leaning.norm(dim=-1, keepdim=True) / NEARLY_STRAIGHT).clamp(max=1)
    flexed = square(torch.cross(hinge, along, dim=-1))
    return torch.nn.functional.normalize(leaning + NEARLY_STRAIGHT * straight * flexed, dim=-1)


def shortest_arc(start: Tensor, stop: Tensor) -> Tensor:
    """Return the rotations (T, 3, 3) that turn one direction (T, 3) into another by the smallest angle.

    Opposite directions have no such rotation; limbs never ask for one.
    """
    a, b = (torch.nn.functional.normalize(v, dim=-1) for v in (start, stop))
    x, y, z = torch.cross(a, b, dim=-1).unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    cosine = (a * b).sum(-1)[:, None, None]
    return torch.eye(3, dtype=a.dtype) + skew + skew @ skew / (1 + cosine).clamp(min=1e-6)
