"""The specification in plain torch: every face is tried at every pixel.

Homogeneous edge functions (Olano and Greer 1997). With the corners as homogeneous pixels
p_i = K v_i = (x w, y w, w), a ray through pixel q = (x, y, 1) meets the face at Σ b_i p_i = q / u with
b_i = (p_j × p_k) · q / det, where u = Σ b_i is the inverse depth. The pixel is inside if all b_i ≥ 0
and in front if u > 0, so no face needs clipping. Two faces compute a shared edge from the same numbers
with the opposite sign, exactly: what one takes the other leaves, and a zero goes by the edge's direction.
"""

import torch
from torch import Tensor

FACES_AT_ONCE = 64
NOTHING = torch.iinfo(torch.int64).max


def rasterize(
    verts_cam: Tensor, faces: Tensor, K: Tensor, size: tuple[int, int], near: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return face_id, depth and bary for checked inputs with K (T, 3, 3)."""
    pixels = [_homogeneous(v.double(), k.double()) for v, k in zip(verts_cam, K, strict=True)]
    frames = [_frame(points[faces.long()], size, near) for points in pixels]
    face_id, depth, bary = (torch.stack(parts) for parts in zip(*frames, strict=True))
    return face_id, depth, bary


def _homogeneous(v: Tensor, k: Tensor) -> Tensor:
    """Return K v, written out so that every implementation rounds alike."""
    return torch.stack([(v[:, 0] * row[0] + v[:, 1] * row[1]) + v[:, 2] * row[2] for row in k], 1)


def _frame(corners: Tensor, size: tuple[int, int], near: float) -> tuple[Tensor, Tensor, Tensor]:
    height, width = size
    y = torch.arange(height, device=corners.device, dtype=torch.float64)[:, None] + 0.5
    x = torch.arange(width, device=corners.device, dtype=torch.float64)[None, :] + 0.5
    nearest = torch.full((height, width), NOTHING, dtype=torch.int64, device=corners.device)
    for first in range(0, len(corners), FACES_AT_ONCE):
        inside, depth, _ = _cover(corners[first : first + FACES_AT_ONCE], x, y, near)
        ids = first + torch.arange(len(depth), device=corners.device)
        # Positive float32 sort like their bits: one integer minimum decides by depth, then by index.
        key = (depth.view(torch.int32).long() << 32) + ids[:, None, None]
        nearest = torch.minimum(nearest, torch.where(inside, key, NOTHING).amin(0))
    seen = nearest != NOTHING
    face_id = torch.where(seen, nearest & 0xFFFFFFFF, -1).int()
    depth = torch.where(seen, nearest >> 32, 0).int().view(torch.float32)
    bary = torch.zeros(height, width, 3, device=corners.device)
    row, column = torch.nonzero(seen, as_tuple=True)
    alone = (x[0, column, None, None], y[row, 0, None, None])  # each seen face at its one pixel
    bary[seen] = _cover(corners[face_id[seen].long()], *alone, near)[2][:, 0, 0]
    return face_id, torch.where(seen, depth, torch.inf), bary


def _cover(corners: Tensor, x: Tensor, y: Tensor, near: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return inside (N, H, W), depth (N, H, W) and bary (N, H, W, 3) of faces with corners (N, 3, 3).

    The pixel centres x, y [px] broadcast to (H, W), or to (N, H, W) where each face has its own.
    """
    x, y = (place.reshape(-1, 1, *place.shape[-2:]) for place in (x, y))
    p = corners
    edges = torch.stack([_cross(p[:, 1], p[:, 2]), _cross(p[:, 2], p[:, 0]), _cross(p[:, 0], p[:, 1])], 1)
    det = (p[:, 0, 0] * edges[:, 0, 0] + p[:, 0, 1] * edges[:, 0, 1]) + p[:, 0, 2] * edges[:, 0, 2]
    edges = edges * torch.sign(det)[:, None, None]
    a, b, c = edges[..., 0, None, None], edges[..., 1, None, None], edges[..., 2, None, None]
    value = a * x + (b * y + c)
    owns_zero = (a > 0) | ((a == 0) & (b > 0))
    inverse = 1 / ((value[:, 0] + value[:, 1]) + value[:, 2])
    depth = (det.abs()[:, None, None] * inverse).float()
    inside = ((value > 0) | ((value == 0) & owns_zero)).all(1) & (det != 0)[:, None, None] & (depth >= near)
    return inside, depth, (value * inverse[:, None]).float().movedim(1, -1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        1,
    )
