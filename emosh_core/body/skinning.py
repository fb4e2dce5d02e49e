"""Forward kinematics and the maps that skinning blends, plain differentiable torch."""

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
