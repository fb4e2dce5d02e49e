"""Which joints hold which vertices, in the orders that the implementations read."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Binding:
    """Skin weights by vertex and by joint, zeros left out; N is the number of weights that are not zero.

    Rows of different lengths (compressed sparse rows) instead of padding: a body's vertices have up to
    seven weights but two on average. Made by `bind`; its tensors must not be changed afterwards.
    """

    lbs_weights: Tensor
    """(V, J) all weights, zeros included."""
    starts: Tensor
    """(V + 1,) int32: the weights of vertex v are starts[v] to starts[v + 1] of `joints` and `weights`."""
    joints: Tensor
    """(N,) int32, ascending within a vertex."""
    weights: Tensor
    """(N,)."""
    longest: int
    """The largest number of weights of one vertex."""
    joint_starts: Tensor
    """(J + 1,) int32: the weights of joint j are joint_starts[j] to joint_starts[j + 1] of the two below."""
    joint_verts: Tensor
    """(N,) int32, ascending within a joint."""
    joint_weights: Tensor
    """(N,)."""


def bind(lbs_weights: Tensor) -> Binding:
    """Prepare skin weights for `skin`; worth keeping, as it reads every weight.

    Args:
        lbs_weights: (V, J) float32 or float64. Rows of a body sum to 1; this is not demanded.

    Raises:
        ValueError: the shape or dtype is wrong, a weight is not finite, or a gradient is wanted.
    """
    if lbs_weights.ndim != 2 or lbs_weights.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"lbs_weights must be (V, J) float32 or float64, got {tuple(lbs_weights.shape)} {lbs_weights.dtype}"
        )
    if lbs_weights.requires_grad:
        raise ValueError("lbs_weights requires a gradient, which skinning does not compute: detach it")
    if not bool(torch.isfinite(lbs_weights).all()):
        raise ValueError("lbs_weights must be finite")
    held = lbs_weights != 0
    verts, joints = torch.nonzero(held, as_tuple=True)
    by_joint, joint_verts = torch.nonzero(held.T, as_tuple=True)
    counts = held.sum(1)
    return Binding(
        lbs_weights=lbs_weights,
        starts=_starts(counts),
        joints=joints.int(),
        weights=lbs_weights[verts, joints],
        longest=int(counts.max()) if len(counts) else 0,
        joint_starts=_starts(held.sum(0)),
        joint_verts=joint_verts.int(),
        joint_weights=lbs_weights[joint_verts, by_joint],
    )


def _starts(counts: Tensor) -> Tensor:
    """Return where each row begins, and where the last one ends (rows + 1,)."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()
