"""Blend shapes, forward kinematics and the maps that skinning blends, plain differentiable torch."""

import functools
from itertools import pairwise

import torch
from torch import Tensor

from emosh_core.body.joints import PARENTS


def displace(dirs: Tensor, weights: Tensor) -> Tensor:
    """Return Σ_s weights (*B, S) · dirs (N, 3, S) as (*B, N, 3)."""
    return (weights @ dirs.flatten(0, 1).T).unflatten(-1, (-1, 3))


def scale_part(
    verts: Tensor, joints: Tensor, share: Tensor, centre: int, children: tuple[int, ...], scale: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Scale a part of the rest body about one of its joints.

    Args:
        verts, joints: (*B, V, 3) and (*B, 55, 3) [m].
        share: (V,) in [0, 1], how much of a vertex belongs to the part.
        centre: the joint that stays; `children` are those that move with the part.
        scale: () or (*B).
    """
    gain = torch.as_tensor(scale, dtype=verts.dtype, device=verts.device)[..., None, None] - 1
    origin = joints[..., centre : centre + 1, :]
    moves = torch.zeros(len(PARENTS), 1, dtype=verts.dtype, device=verts.device)
    moves[list(children)] = 1
    return verts + share[:, None] * gain * (verts - origin), joints + moves * gain * (joints - origin)


@functools.cache
def _levels(parents: tuple[int, ...]) -> tuple[list[list[int]], list[int]]:
    """Group the joints by their distance from the root, so that each group is one batched product.

    Returns:
        The groups, and where each joint stands in their concatenation.
    """
    depth = [0] * len(parents)
    for joint, parent in enumerate(parents):
        depth[joint] = 0 if parent < 0 else depth[parent] + 1
    levels = [[j for j, d in enumerate(depth) if d == level] for level in range(max(depth) + 1)]
    order = [j for level in levels for j in level]
    return levels, [order.index(j) for j in range(len(parents))]


def forward_kinematics(
    rotmats: Tensor, bones: Tensor, root: Tensor, parents: tuple[int, ...] = PARENTS
) -> tuple[Tensor, Tensor]:
    """Chain joint rotations from the root outwards.

    Args:
        rotmats: (T, J, 3, 3) each joint's rotation relative to its parent.
        bones: (*, J, 3) vector from the parent to the joint in the zero pose [m]; broadcasts over T.
        root: (T, 3) where the root joint is [m].
        parents: of each joint, −1 for the root, which comes first.

    Returns:
        Global rotations (T, J, 3, 3) and joint positions (T, J, 3) [m].
    """
    bones = bones.expand(*rotmats.shape[:-2], 3)[..., None]
    turned, placed = [rotmats[..., :1, :, :]], [root[..., None, :]]
    levels, back = _levels(parents)
    for above, level in pairwise(levels):
        held = [above.index(parents[joint]) for joint in level]
        parent_turn = turned[-1][..., held, :, :]
        turned.append(parent_turn @ rotmats[..., level, :, :])
        placed.append(placed[-1][..., held, :] + (parent_turn @ bones[..., level, :, :])[..., 0])
    return torch.cat(turned, -3)[..., back, :, :], torch.cat(placed, -2)[..., back, :]


def away_from_rest(rotmats: Tensor, origins: Tensor, positions: Tensor) -> Tensor:
    """Return the affine map of each joint from the rest pose to the posed body.

    Args:
        rotmats: (T, J, 3, 3) each joint's rotation away from rest.
        origins: (*, J, 3) rest joints [m]; broadcasts over T.
        positions: (T, J, 3) posed joints [m].

    Returns:
        (T, J, 3, 4) maps x ↦ R_j (x − o_j) + p_j, for `emosh_kernels.skin`.
    """
    return torch.cat([rotmats, positions[..., None] - rotmats @ origins[..., None]], -1)
