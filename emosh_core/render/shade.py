"""From rasterised fragments to pictures: interpolation, normals and one simple light."""

import numpy as np
import torch
from emosh_kernels.rasterize import Fragments
from torch import Tensor

KEY_LIGHT = (-0.4, -0.6, -0.7)
"""Direction to the light in camera axes: above, left of and behind the camera."""
AMBIENT = 0.45


def interpolate(fragments: Fragments, frame: int, faces: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Interpolate per-corner values at the covered pixels of one frame.

    Args:
        faces: (F, 3) rows of `values`; vertex or texture indices.
        values: (N, C) float32.

    Returns:
        mask (H, W) bool and the values (number of covered pixels, C) in row-major order.
    """
    face_id = fragments.face_id[frame].numpy()
    mask = face_id >= 0
    corners = faces[face_id[mask]]
    bary = fragments.bary[frame].numpy()[mask]
    picked = bary[:, 0, None] * values[corners[:, 0]]
    picked += bary[:, 1, None] * values[corners[:, 1]]
    picked += bary[:, 2, None] * values[corners[:, 2]]
    return mask, picked


def vertex_normals(verts: Tensor, faces: Tensor) -> Tensor:
    """Return area-weighted unit normals (T, V, 3), outward for counter-clockwise faces."""
    a, b, c = (verts[:, faces[:, i]] for i in range(3))
    across = torch.linalg.cross(b - a, c - a)
    normals = torch.zeros_like(verts)
    for i in range(3):
        normals.index_add_(1, faces[:, i], across)
    return torch.nn.functional.normalize(normals, dim=-1)


def lambert(normals_cam: np.ndarray) -> np.ndarray:
    """Return the brightness (N,) in [0, 1] of surfaces with these normals (N, 3) in camera axes."""
    light = np.asarray(KEY_LIGHT, np.float32)
    facing = normals_cam @ (light / np.linalg.norm(light))
    return AMBIENT + (1 - AMBIENT) * np.clip(facing, 0, 1)
