"""Bind a garment to somebody: place it on the rest mesh, give it skin weights and expression, hide what it covers."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emosh_core.body.ehm import ShapedBody
from emosh_core.synth.base import Base
from emosh_core.synth.pack import Geometry

STILL = 2e-5
"""Vertices that no expression moves farther than this [m] count as still."""


@dataclass(frozen=True, eq=False)
class Worn:
    """A garment on somebody at rest; N vertices."""

    verts: Tensor
    """(N, 3) [m]."""
    lbs_weights: Tensor
    """(N, 55)."""
    expression_verts: Tensor
    """(E,) the vertices that expressions move."""
    expression_dirs: Tensor
    """(E, 3, 52) [m at weight 1]."""


def wear(geometry: Geometry, base: Base, shaped: ShapedBody) -> Worn:
    """Fit a garment to somebody.

    A vertex lies at a weighted mean of three vertices of the base mesh plus an offset that grows with the
    distance between two more vertices per axis (MakeHuman's proxy format). Skin weights are blended the same
    way with the weights' sizes. Expressions are carried over to first order, the growth of the offset included.

    Args:
        geometry: the garment.
        base: the base mesh.
        shaped: the person, of `base.model`.
    """
    rest, device = shaped.rest_verts, shaped.rest_verts.device
    ids = base.rows[torch.as_tensor(geometry.ref_ids, device=device)]
    weights = torch.as_tensor(geometry.ref_weights, dtype=rest.dtype, device=device)
    offsets = torch.as_tensor(geometry.offsets, dtype=rest.dtype, device=device)
    scale_ids = base.rows[torch.as_tensor(geometry.scale_ids.astype(np.int64), device=device)]
    den = torch.as_tensor(geometry.scale_den, dtype=rest.dtype, device=device)
    span = rest[scale_ids[:, 0]] - rest[scale_ids[:, 1]]
    verts = (weights[..., None] * rest[ids]).sum(1) + offsets * (span.norm(dim=1) / den)
    held = (weights.abs()[..., None] * base.model.lbs_weights[ids]).sum(1)
    held = torch.where(held < 1e-3, 0, held)
    moved = _expressions(base, shaped)
    dirs = (weights[..., None, None] * moved[ids]).sum(1)
    # d|s| = s/|s| · ds for the span s of an axis.
    growth = torch.einsum("ax,axe->ae", span / span.norm(dim=1, keepdim=True), moved[scale_ids[:, 0]]
                          - moved[scale_ids[:, 1]]) / den[:, None]  # fmt: skip
    dirs = dirs + offsets[..., None] * growth
    moving = torch.nonzero(dirs.abs().amax((1, 2)) > STILL)[:, 0]
    return Worn(verts, held / held.sum(1, keepdim=True), moving, dirs[moving])


def _expressions(base: Base, shaped: ShapedBody) -> Tensor:
    """Return how far each expression moves each vertex of the base on this person (V, 3, 52) [m at weight 1]."""
    model = base.model
    moved = model.expression_dirs.new_zeros(len(model.template), *model.expression_dirs.shape[1:])
    moved[model.expression_verts] = model.expression_dirs * shaped.expression_gain[..., None]
    return moved


def hidden_faces(faces: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Say which faces (F, 3) have all their corners among the hidden vertices (V,) bool."""
    return hidden[faces].all(1)


def covered_shoe(shoe: Geometry, outfit: Geometry) -> np.ndarray:
    """Say which vertices (N,) of a shoe lie under an outfit: two or more of their anchors are hidden by it."""
    return outfit.deleted[shoe.ref_ids].sum(1) >= 2
