"""The reference compiled for the CPU: each face is tried at the pixels of its bounding box only.

The arithmetic is the reference's, operation by operation (no fused multiply-add, no fast maths), so
the face ids are equal, not merely close. Threads share nothing: each owns whole rows of one frame.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit
from torch import Tensor

MARGIN = 1e-3
"""Widens bounding boxes [px]: their division rounds, the edge functions have the last word."""


def rasterize(
    verts_cam: Tensor, faces: Tensor, K: Tensor, size: tuple[int, int], near: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return face_id, depth and bary for checked inputs with K (T, 3, 3)."""
    frames, (height, width) = len(verts_cam), size
    face_id = np.empty((frames, height, width), np.int32)
    depth = np.empty((frames, height, width), np.float32)
    bary = np.empty((frames, height, width, 3), np.float32)
    verts, k = verts_cam.numpy().astype(np.float64), K.numpy().astype(np.float64)
    corners = faces.numpy().astype(np.int64)
    threads = torch.get_num_threads()
    bands = min(height, -(-threads // max(frames, 1)))
    rows = [height * band // bands for band in range(bands + 1)]

    def draw(job: tuple[int, int]) -> None:
        t, band = job
        points, screen = _project(verts[t], k[t], near)
        own = slice(rows[band], rows[band + 1])
        face_id[t, own], depth[t, own], bary[t, own] = -1, np.inf, 0
        _draw(points, screen, corners, near, own.start, own.stop, face_id[t], depth[t], bary[t])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(draw, [(t, band) for t in range(frames) for band in range(bands)]))
    return torch.from_numpy(face_id), torch.from_numpy(depth), torch.from_numpy(bary)


@njit(nogil=True, cache=True)
def _project(verts, k, near):
    """Return homogeneous pixels K v (V, 3) and pixels (V, 2), the latter only for bounding boxes."""
    points, screen = np.empty_like(verts), np.empty((len(verts), 2))
    for i in range(len(verts)):
        for j in range(3):
            points[i, j] = (verts[i, 0] * k[j, 0] + verts[i, 1] * k[j, 1]) + verts[i, 2] * k[j, 2]
        inverse = 1 / max(points[i, 2], near)
        screen[i, 0], screen[i, 1] = points[i, 0] * inverse, points[i, 1] * inverse
    return points, screen


@njit(nogil=True, cache=True)
def _clipped_bounds(p, near):
    """Return x0, x1, y0, y1 [px] of the part of a face (3, 3) that lies in front of `near`."""
    x0, x1, y0, y1 = np.inf, -np.inf, np.inf, -np.inf
    for i in range(3):
        j = (i + 1) % 3
        if p[i, 2] >= near:
            x, y = p[i, 0] / p[i, 2], p[i, 1] / p[i, 2]
            x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
        if (p[i, 2] >= near) != (p[j, 2] >= near):
            s = (near - p[i, 2]) / (p[j, 2] - p[i, 2])
            x = (p[i, 0] + s * (p[j, 0] - p[i, 0])) / near
            y = (p[i, 1] + s * (p[j, 1] - p[i, 1])) / near
            x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
    return x0, x1, y0, y1


@njit(nogil=True, cache=True)
def _bounds(points, screen, i, j, k, near):
    """Return x0, x1, y0, y1 [px] of a face with corners i, j, k; x0 > x1 if it lies behind `near`."""
    if points[i, 2] >= near and points[j, 2] >= near and points[k, 2] >= near:
        x0 = min(screen[i, 0], screen[j, 0], screen[k, 0])
        x1 = max(screen[i, 0], screen[j, 0], screen[k, 0])
        y0 = min(screen[i, 1], screen[j, 1], screen[k, 1])
        y1 = max(screen[i, 1], screen[j, 1], screen[k, 1])
        return x0, x1, y0, y1
    p = np.empty((3, 3))
    p[0], p[1], p[2] = points[i], points[j], points[k]
    return _clipped_bounds(p, near)


@njit(nogil=True, cache=True)
def _edges(p, e):
    """Write the edge functions of a face (3, 3) to `e` (3, 3), inside positive; return |det|."""
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        e[i, 0] = p[j, 1] * p[k, 2] - p[j, 2] * p[k, 1]
        e[i, 1] = p[j, 2] * p[k, 0] - p[j, 0] * p[k, 2]
        e[i, 2] = p[j, 0] * p[k, 1] - p[j, 1] * p[k, 0]
    det = (p[0, 0] * e[0, 0] + p[0, 1] * e[0, 1]) + p[0, 2] * e[0, 2]
    if det < 0:
        for i in range(3):
            for j in range(3):
                e[i, j] = -e[i, j]
    return abs(det)


@njit(nogil=True, cache=True)
def _covers(value, a, b):
    return value > 0 or (value == 0 and (a > 0 or (a == 0 and b > 0)))


@njit(nogil=True, cache=True)
def _centres(low, high, first, stop):
    """Return the first and last pixel of first..stop whose centre lies in low..high, give or take MARGIN."""
    low, high = max(low - MARGIN, float(first)), min(high + MARGIN, float(stop))
    return int(np.ceil(low - 0.5)), int(np.floor(high - 0.5))


@njit(nogil=True, cache=True)
def _draw(points, screen, faces, near, row0, row1, face_id, depth, bary):
    """Draw all faces into rows row0..row1 of one frame."""
    width = face_id.shape[1]
    p, e = np.empty((3, 3)), np.empty((3, 3))
    for f in range(faces.shape[0]):
        x0, x1, y0, y1 = _bounds(points, screen, faces[f, 0], faces[f, 1], faces[f, 2], near)
        if not (x0 < width and x1 > 0 and y0 < row1 and y1 > row0):
            continue
        left, right = _centres(x0, x1, 0, width)
        top, bottom = _centres(y0, y1, row0, row1)
        if left > right or top > bottom:
            continue
        for i in range(3):
            for j in range(3):
                p[i, j] = points[faces[f, i], j]
        det = _edges(p, e)
        if det == 0:
            continue
        for row in range(top, bottom + 1):
            y = row + 0.5
            c0, c1, c2 = e[0, 1] * y + e[0, 2], e[1, 1] * y + e[1, 2], e[2, 1] * y + e[2, 2]
            for column in range(left, right + 1):
                x = column + 0.5
                v0, v1, v2 = e[0, 0] * x + c0, e[1, 0] * x + c1, e[2, 0] * x + c2
                if not (_covers(v0, e[0, 0], e[0, 1]) and _covers(v1, e[1, 0], e[1, 1])):
                    continue
                if not _covers(v2, e[2, 0], e[2, 1]):
                    continue
                total = (v0 + v1) + v2
                z = np.float32(det / total)
                if z >= near and z < depth[row, column]:
                    depth[row, column] = z
                    face_id[row, column] = f
                    bary[row, column, 0] = v0 / total
                    bary[row, column, 1] = v1 / total
                    bary[row, column, 2] = v2 / total
