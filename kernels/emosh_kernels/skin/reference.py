"""The specification in plain differentiable torch: every joint is tried at every vertex."""

import torch
from torch import Tensor

from emosh_kernels.skin.binding import Binding


def skin(verts: Tensor, binding: Binding, transforms: Tensor) -> Tensor:
    """Return the posed vertices (T, V, 3) for checked inputs."""
    coordinates = verts.expand(len(transforms), -1, -1).transpose(0, 1).unsqueeze(-1).unbind(-2)

    def blend(values: Tensor) -> Tensor:  # (T, J, 3) → (V, T, 3), one matrix product for all frames
        return (binding.lbs_weights @ values.transpose(0, 1).flatten(1)).unflatten(-1, (-1, 3))

    # Column by column: no intermediate is larger than the result, and none is sliced (slow to differentiate).
    *columns, shift = transforms.unbind(-1)
    posed = blend(shift)
    for column, coordinate in zip(columns, coordinates, strict=True):
        posed = torch.addcmul(posed, blend(column), coordinate)
    return posed.transpose(0, 1)
