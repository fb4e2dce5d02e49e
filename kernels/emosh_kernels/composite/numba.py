"""The reference compiled for the CPU: one pass over the pixels, nothing kept between the steps."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit
from torch import Tensor

BAND = 16
"""Rows that one thread paints at a time."""


def composite(layers: list, background: Tensor, oversample: int) -> Tensor:
    """Return (T, H, W, 3) for checked inputs."""
    below = background.contiguous().numpy()
    out = np.empty_like(below)
    faces = tuple(layer.faces.numpy().astype(np.int32) for layer in layers)
    textures = tuple(layer.texture.contiguous().numpy() for layer in layers)
    names = ("face_id", "depth", "bary")
    fields = [tuple(getattr(layer.fragments, name).numpy() for layer in layers) for name in names]
    values = tuple(layer.values.contiguous().numpy() for layer in layers)

    def paint(job: tuple[int, int]) -> None:
        t, row = job
        per_layer = [tuple(array[t] for array in arrays) for arrays in (*fields, values)]
        _paint(*per_layer, faces, textures, below[t], out[t], row, min(row + BAND, out.shape[1]), oversample)

    jobs = [(t, row) for t in range(out.shape[0]) for row in range(0, out.shape[1], BAND)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(paint, jobs))
    return torch.from_numpy(out)


@njit(nogil=True, cache=True)
def _paint(face_id, depth, bary, values, faces, textures, below, out, first, stop, oversample):
    """Paint rows first..stop of one frame."""
    over, color = np.empty(4, np.float32), np.empty(4, np.float32)
    total = np.empty(4, np.float32)
    share = np.float32(1 / oversample**2)
    for row in range(first, stop):
        for column in range(out.shape[1]):
            total[:] = 0
            for fine_row in range(row * oversample, (row + 1) * oversample):
                for fine in range(column * oversample, (column + 1) * oversample):
                    _pixel(face_id, depth, bary, values, faces, textures, fine_row, fine, over, color)
                    for c in range(4):
                        total[c] += over[c] * share
            for c in range(3):
                out[row, column, c] = total[c] + (np.float32(1) - total[3]) * below[row, column, c]


@njit(nogil=True, cache=True)
def _pixel(face_id, depth, bary, values, faces, textures, row, column, over, color):
    """Write what the layers show at a fine pixel to `over` (4,), nearest first."""
    over[:] = 0
    last_depth, last = np.float32(-1), -1
    for _ in range(len(faces)):
        nearest, at = np.float32(np.inf), -1
        for k in range(len(faces)):
            z = depth[k][row, column]
            after = z > last_depth or (z == last_depth and k > last)
            if face_id[k][row, column] >= 0 and after and z < nearest:
                nearest, at = z, k
        if at < 0 or over[3] >= 1:
            return
        _look_up(at, face_id, bary, values, faces, textures, row, column, color)
        left = np.float32(1) - over[3]
        for c in range(4):
            over[c] += left * color[c]
        last_depth, last = nearest, at


@njit(nogil=True, cache=True)
def _look_up(k, face_id, bary, values, faces, textures, row, column, color):
    """Write the colour of layer k at a fine pixel to `color` (4,), premultiplied."""
    x, y, gain, opacity = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for corner in range(3):
        share, at = bary[k][row, column, corner], faces[k][face_id[k][row, column], corner]
        x += share * values[k][at, 0]
        y += share * values[k][at, 1]
        gain += share * values[k][at, 2]
        opacity += share * values[k][at, 3]
    texture = textures[k]
    right, down = texture.shape[1] - 1, texture.shape[0] - 1
    half, zero = np.float32(0.5), np.float32(0)
    x = min(max(x - half, zero), np.float32(right))
    y = min(max(y - half, zero), np.float32(down))
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, right), min(y0 + 1, down)
    across, along = x - np.float32(x0), y - np.float32(y0)
    for c in range(4):
        top = texture[y0, x0, c] + across * (texture[y0, x1, c] - texture[y0, x0, c])
        bottom = texture[y1, x0, c] + across * (texture[y1, x1, c] - texture[y1, x0, c])
        color[c] = (top + along * (bottom - top)) * opacity
        if c < 3:
            color[c] *= gain
