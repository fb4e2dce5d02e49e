"""Depth and barycentrics once more, as functions of the vertices that gradients flow through.

Which face a pixel sees has no gradient; given the face, both are smooth. What lies behind a moving
outline is the business of `silhouette`.
"""

import torch
from torch import Tensor


def depth_and_bary(
    verts_cam: Tensor, faces: Tensor, K: Tensor, face_id: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return depth (T, H, W) and bary (T, H, W, 3) of the faces that were found at each pixel.

    Args:
        verts_cam: (T, V, 3) [m]; faces: (F, 3); K: (T, 3, 3) [px]; face_id: (T, H, W).
        dtype: of the result.
    """
    frame, row, column = torch.nonzero(face_id >= 0, as_tuple=True)
    corners = verts_cam[frame[:, None], faces[face_id[frame, row, column].long()].long()].double()
    points = corners @ K.double()[frame].transpose(-1, -2)
    edges = torch.linalg.cross(points[:, [1, 2, 0]], points[:, [2, 0, 1]])
    det = (points[:, 0] * edges[:, 0]).sum(-1)
    pixel = torch.stack([column + 0.5, row + 0.5, torch.ones_like(row, dtype=torch.float64)], -1)
    weight = (edges * pixel[:, None]).sum(-1)
    total = weight.sum(-1)
    depth = torch.full(face_id.shape, torch.inf, dtype=dtype, device=face_id.device)
    bary = torch.zeros(*face_id.shape, 3, dtype=dtype, device=face_id.device)
    where = (frame, row, column)
    return depth.index_put(where, (det / total).to(dtype)), bary.index_put(where, (weight / total[:, None]).to(dtype))
