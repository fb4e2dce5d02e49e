"""Two patch embeddings as one: Animate's pose convolution becomes channels of the patch convolution.

Convolutions with the same kernel and stride that are added are one convolution of both inputs. The pose
convolution's bias must reach only frames that have motion, so it becomes the weight of a channel that is
1 there; it is constant over a patch, so one tap carries all of it. Channels as in `generate.layout`:

    z_t (C) | mask (4) | condition (C) | motion (C) | motion flag (1)
"""

import torch
from torch import Tensor

from emosh_core.generate.layout import MASK_CHANNELS


def fold_patch(patch: Tensor, pose: Tensor | None = None, pose_bias: Tensor | None = None) -> Tensor:
    """Add motion and flag channels to a patch weight.

    Args:
        patch: (D, 2C + 4, 1, 2, 2) of z_t, mask and condition.
        pose: (D, C, 1, 2, 2), or None where there was no motion: motion then starts without effect.
        pose_bias: (D,), or None likewise.

    Returns:
        (D, 3C + 5, 1, 2, 2).
    """
    channels = (patch.shape[1] - MASK_CHANNELS) // 2
    if pose is None:
        pose = patch.new_zeros(patch.shape[0], channels, *patch.shape[2:])
    flag = pose.new_zeros(patch.shape[0], 1, *patch.shape[2:])
    if pose_bias is not None:
        flag[:, 0, 0, 0, 0] = pose_bias
    return torch.cat([patch, pose, flag], 1)


def split_patch(folded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Undo `fold_patch`, also after training: (D, 3C + 5, 1, 2, 2) → patch, pose, pose bias."""
    channels = (folded.shape[1] - MASK_CHANNELS - 1) // 3
    patch, pose, flag = folded.split([2 * channels + MASK_CHANNELS, channels, 1], 1)
    # Training moves all taps of the flag; it is 1 under each of them, so only their sum counts.
    return patch, pose, flag.flatten(1).sum(1)
