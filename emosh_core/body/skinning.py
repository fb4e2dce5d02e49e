"""Forward kinematics and linear blend skinning, plain differentiable torch."""

from itertools import pairwise

import torch
from torch import Tensor

from emosh_core.body.joints import PARENTS


def _levels() -> list[list[int]]:
    """Group the joints by their distance from the root, so that each group is one batched product."""
    depth = [0] * len(PARENTS)
    for joint, parent in enumerate(PARENTS):
        depth[joint] = 0 if parent < 0 else depth[parent] + 1
    return [[j for j, d in enumerate(depth) if d == level] for level in range(max(depth) + 1)]


_LEVELS = _levels()
_ORDER = [j for level in _LEVELS for j in level]
_BACK = [_ORDER.index(j) for j in range(len(PARENTS))]


def forward_kinematics(rotmats: Tensor, bones: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
    """Chain joint rotations from the root outwards.

    Args:
        rotmats: (T, J, 3, 3) each joint's rotation relative to its parent.
        bones: (*, J, 3) vector from the parent to the joint in the zero pose [m]; broadcasts over T.
        root: (T, 3) where the root joint is [m].

    Returns:
        Global rotations (T, J, 3, 3) and joint positions (T, J, 3) [m].
    """
    bones = bones.expand(*rotmats.shape[:-2], 3)[..., None]
    turned, placed = [rotmats[..., :1, :, :]], [root[..., None, :]]
    for above, level in pairwise(_LEVELS):
        parents = [above.index(PARENTS[joint]) for joint in level]
        parent_turn = turned[-1][..., parents, :, :]
        turned.append(parent_turn @ rotmats[..., level, :, :])
        placed.append(placed[-1][..., parents, :] + (parent_turn @ bones[..., level, :, :])[..., 0])
    return torch.cat(turned, -3)[..., _BACK, :, :], torch.cat(placed, -2)[..., _BACK, :]


def skin(verts: Tensor, lbs_weights: Tensor, rotmats: Tensor, origins: Tensor, positions: Tensor) -> Tensor:
    """Move rest vertices with the joints they are bound to.

    Args:
        verts: (*, V, 3) rest vertices [m]; broadcasts over T.
        lbs_weights: (V, J), rows sum to 1.
        rotmats: (T, J, 3, 3) each joint's rotation away from rest.
        origins: (*, J, 3) rest joints [m]; broadcasts over T.
        positions: (T, J, 3) posed joints [m].

    Returns:
        Posed vertices (T, V, 3) [m]: Σ_j w_j (R_j (v − o_j) + p_j).
    """
    shift = positions - (rotmats @ origins[..., None])[..., 0]
    coordinates = verts.expand(len(rotmats), -1, -1).transpose(0, 1).unsqueeze(-1).unbind(-2)

    def blend(values: Tensor) -> Tensor:  # (T, J, 3) → (V, T, 3), one matrix product for all frames
        return (lbs_weights @ values.transpose(0, 1).flatten(1)).unflatten(-1, (-1, 3))

    # Column by column: no intermediate is larger than the result, and none is sliced (slow to differentiate).
    posed = blend(shift)
    for column, coordinate in zip(rotmats.unbind(-1), coordinates, strict=True):
        posed = torch.addcmul(posed, blend(column), coordinate)
    return posed.transpose(0, 1)
