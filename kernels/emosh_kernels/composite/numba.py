"""The reference compiled for the CPU: a few rows at a time, so that what lies between the steps stays in the cache."""

import numpy as np
import torch
from numba import njit
from torch import Tensor

from emosh_kernels.threads import for_each

BAND = 16
"""Rows that one thread paints at a time."""


def composite(layers: list, oversample: int) -> Tensor:
    """Return (T, H, W, 4) for checked inputs."""
    frames, rows, columns = layers[0].fragments.face_id.shape
    out = np.empty((frames, rows // oversample, columns // oversample, 4), np.float32)
    tables = [
        (layer.values.contiguous().numpy(), layer.faces.to(torch.int32).contiguous().numpy(),
         layer.texture.contiguous().numpy())
        for layer in layers
    ]  # fmt: skip
    names = ("face_id", "bary", "depth")
    fragments = [[getattr(layer.fragments, name).contiguous().numpy() for name in names] for layer in layers]

    def paint(job: tuple[int, int]) -> None:
        t, row = job
        own = slice(row, min(row + BAND, out.shape[1]))
        fine = slice(own.start * oversample, own.stop * oversample)
        colors = np.empty((len(layers), fine.stop - fine.start, columns, 4), np.float32)
        for color, (face_id, bary, _), (values, faces, texture) in zip(colors, fragments, tables, strict=True):
            _look_up(face_id[t, fine], bary[t, fine], values[t], faces, texture, color)
        depth = np.stack([depth[t, fine] for _, _, depth in fragments])
        _resolve(colors, depth, out[t, own], oversample)

    for_each(paint, [(t, row) for t in range(frames) for row in range(0, out.shape[1], BAND)])
    return torch.from_numpy(out)


@njit(nogil=True, cache=True)
def _look_up(face_id, bary, values, faces, texture, color):
    """Write a layer's own picture to `color` (h, w, 4), premultiplied, where it covers the picture."""
    right, down = texture.shape[1] - 1, texture.shape[0] - 1
    half, zero = np.float32(0.5), np.float32(0)
    for row in range(face_id.shape[0]):
        for column in range(face_id.shape[1]):
            face = face_id[row, column]
            if face < 0:  # nor does anybody read it: the depth there is infinite
                continue
            a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
            u, v, w = bary[row, column, 0], bary[row, column, 1], bary[row, column, 2]
            x = u * values[a, 0] + v * values[b, 0] + w * values[c, 0]
            y = u * values[a, 1] + v * values[b, 1] + w * values[c, 1]
            opacity = u * values[a, 5] + v * values[b, 5] + w * values[c, 5]
            x = min(max(x - half, zero), np.float32(right))
            y = min(max(y - half, zero), np.float32(down))
            x0, y0 = int(x), int(y)
            x1, y1 = min(x0 + 1, right), min(y0 + 1, down)
            across, along = x - np.float32(x0), y - np.float32(y0)
            w11 = across * along
            w01, w10 = across - w11, along - w11
            w00 = np.float32(1) - across - w10
            alpha = w00 * texture[y0, x0, 3] + w01 * texture[y0, x1, 3]
            alpha = (alpha + (w10 * texture[y1, x0, 3] + w11 * texture[y1, x1, 3])) * opacity
            shine = (u * values[a, 6] + v * values[b, 6] + w * values[c, 6]) * alpha
            for k in range(3):
                gain = (u * values[a, 2 + k] + v * values[b, 2 + k] + w * values[c, 2 + k]) * opacity
                mixed = w00 * texture[y0, x0, k] + w01 * texture[y0, x1, k]
                mixed += w10 * texture[y1, x0, k] + w11 * texture[y1, x1, k]
                color[row, column, k] = min(max(mixed * gain + shine, zero), alpha)
            color[row, column, 3] = alpha


@njit(nogil=True, cache=True)
def _resolve(colors, depth, out, oversample):
    """Lay the layers (L, h·s, w·s, 4) over each other and average (h, w, 4)."""
    share, one = np.float32(1 / oversample**2), np.float32(1)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            red, green, blue, alpha = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for y in range(row * oversample, (row + 1) * oversample):
                for x in range(column * oversample, (column + 1) * oversample):
                    left, last_depth, last = share, np.float32(-1), -1
                    while left > 0:
                        k = _next(depth, y, x, last_depth, last)
                        if k < 0:
                            break
                        red += left * colors[k, y, x, 0]
                        green += left * colors[k, y, x, 1]
                        blue += left * colors[k, y, x, 2]
                        alpha += left * colors[k, y, x, 3]
                        left *= one - colors[k, y, x, 3]
                        last_depth, last = depth[k, y, x], k
            out[row, column, 0] = red
            out[row, column, 1] = green
            out[row, column, 2] = blue
            out[row, column, 3] = alpha


@njit(nogil=True, cache=True, inline="always")
def _next(depth, y, x, last_depth, last):
    """Return the nearest layer behind the last one at a fine pixel, −1 if there is none."""
    nearest, at = np.float32(np.inf), -1
    for k in range(len(depth)):
        z = depth[k, y, x]
        if z < nearest and (z > last_depth or (z == last_depth and k > last)):
            nearest, at = z, k
    return at
