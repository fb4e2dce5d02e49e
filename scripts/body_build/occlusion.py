"""How much of the sky each vertex of a body sees."""

import numpy as np
import torch
from emosh_kernels.rasterize import rasterize

from emosh_core.render.shade import vertex_normals

SIZE, FAR = 640, 50.0
BIAS = 0.004
"""Surfaces nearer than this in front of a vertex [m] do not shade it: they are its own."""


def openness(verts: np.ndarray, faces: np.ndarray, directions: int = 240) -> np.ndarray:
    """Return (V,) in [0, 1]: the share of light from all around, weighted by the cosine, that reaches a vertex.

    The body is looked at from far away, from `directions` points spread evenly over the sphere; a vertex sees
    the sky there if nothing lies before it.

    Args:
        verts: (V, 3) [m].
        faces: (F, 3) counter-clockwise seen from outside.
        directions: how many.
    """
    points, triangles = torch.as_tensor(verts, dtype=torch.float32), torch.as_tensor(faces)
    normals = vertex_normals(points[None], triangles)[0]
    points = points - (points.amax(0) + points.amin(0)) / 2
    radius = float(points.norm(dim=1).max()) * 1.02
    K = torch.tensor([[SIZE / 2 / radius * FAR, 0, SIZE / 2], [0, SIZE / 2 / radius * FAR, SIZE / 2], [0, 0, 1]])
    seen, possible = torch.zeros(len(points)), torch.zeros(len(points))
    for ahead in _sphere(directions):
        frame = torch.as_tensor(_frame(ahead), dtype=torch.float32)
        cam = points @ frame.T + torch.tensor([0, 0, FAR])
        depth = torch.nan_to_num(rasterize(cam[None], triangles, K, (SIZE, SIZE)).depth[0], posinf=2 * FAR)
        pixel = (cam[:, :2] / cam[:, 2:] * K[0, 0] + SIZE / 2).long().clamp(0, SIZE - 1)
        cosine = (-normals @ frame[2]).clamp(min=0)
        seen += cosine * (depth[pixel[:, 1], pixel[:, 0]] > cam[:, 2] - BIAS - 0.004 * (1 - cosine))
        possible += cosine
    return (seen / possible.clamp(min=1e-6)).numpy()


def _sphere(count: int) -> np.ndarray:
    """Return unit vectors (count, 3), spread evenly (a Fibonacci spiral)."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.arange(count) * np.pi * (3 - 5**0.5)
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.cos(turn), height, flat * np.sin(turn)], 1)


def _frame(ahead: np.ndarray) -> np.ndarray:
    """Return a camera's axes (3, 3), rows right, down and ahead."""
    right = np.cross([0.3, 0.9, 0.31], ahead)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(ahead, right), ahead])
