"""Canonical colours: a vertex is painted by where it lies on the mean body in the T-pose.

The colour belongs to the vertex, so a body part looks the same on every identity and in every pose.
"""

import functools

import torch
from torch import Tensor

from emosh_core.body.ehm import EhmModel, PosedBody
from emosh_core.body.joints import HANDS, WRISTS
from emosh_core.body.pose import zero_pose

DARKEST, BRIGHTEST = 0.15, 1.0
"""Black stays free for the background."""


def mean_in_t_pose(body: EhmModel) -> PosedBody:
    """Return the mean identity in the T-pose, one frame, pelvis at the origin."""
    zeros = body.template.new_zeros
    mean = body.with_shape(zeros(body.body_dirs.shape[-1]), zeros(body.head_dirs.shape[-1]))
    return mean.with_pose(zero_pose(device=body.template.device, dtype=body.template.dtype))


@functools.lru_cache(maxsize=8)
def canonical_colors(body: EhmModel) -> Tensor:
    """Return an RGB colour (V, 3) in [0, 1] for each vertex.

    Red runs from the right hand to the left, green from the feet to the head, blue from back to
    front. A hand is so thin that palm and back would look alike; there, green and blue run across
    the hand alone.
    """
    verts = mean_in_t_pose(body).verts[0]
    place = _unit(verts)
    for side, wrist in WRISTS.items():
        share = body.lbs_weights[:, [wrist, *HANDS[side]]].sum(1)
        hand = _unit(verts, within=share > 0.5)
        blend = share[:, None] * torch.tensor([0.0, 1.0, 1.0], dtype=verts.dtype, device=verts.device)
        place = place + blend * (hand - place)
    return DARKEST + (BRIGHTEST - DARKEST) * place


def _unit(verts: Tensor, within: Tensor | None = None) -> Tensor:
    """Scale positions to 0..1 over the bounding box of the vertices `within` (all by default)."""
    box = verts if within is None else verts[within]
    low, high = box.amin(0), box.amax(0)
    return ((verts - low) / (high - low)).clamp(0, 1)
