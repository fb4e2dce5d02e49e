"""Normals and one simple light, from rasterised fragments to pictures."""

import numpy as np
import torch
from torch import Tensor

KEY_LIGHT = (-0.4, -0.6, -0.7)
"""Direction to the light in camera axes: above, left of and behind the camera."""
AMBIENT = 0.45


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
