"""Which points are inside a mesh, by generalized winding numbers (Jacobson et al. 2013); knows nothing of probes."""

import math

import torch
from torch import Tensor


def inside(points: Tensor, verts: Tensor, faces: Tensor) -> Tensor:
    """Say which points (P, 3) are inside a mesh (V, 3), (F, 3) that need not be quite closed (P,) bool.

    The solid angle of a triangle is van Oosterom and Strackee's (1983).
    """
    a, b, c = (verts[faces[:, i]][None] - points[:, None] for i in range(3))
    la, lb, lc = (side.norm(dim=-1) for side in (a, b, c))
    top = (a * torch.linalg.cross(b, c)).sum(-1)
    bottom = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return torch.atan2(top, bottom).sum(1) / (2 * math.pi) > 0.5


def depth(points: Tensor, verts: Tensor, faces: Tensor) -> float:
    """Return how deep [m] the deepest of the points (P, 3) is inside a mesh; 0 if none is."""
    used = verts[faces.unique()]
    low, high = used.amin(0), used.amax(0)
    points = points[((points > low) & (points < high)).all(1)]
    within = points[inside(points, verts, faces)] if len(points) else points
    return float(torch.cdist(within, used).amin(1).max()) if len(within) else 0.0
