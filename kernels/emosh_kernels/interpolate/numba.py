"""The reference compiled for the CPU; threads own whole rows."""

import numpy as np
import torch
from numba import njit
from torch import Tensor

from emosh_kernels.threads import for_each, stretches


def interpolate(face_id: Tensor, bary: Tensor, faces: Tensor, values: Tensor) -> Tensor:
    """Return Σ_i bary_i · value of corner i at every pixel, (T, H, W, C)."""
    picture = np.zeros((*face_id.shape, values.shape[-1]), values.detach().numpy().dtype)
    face_ids, weights = face_id.flatten(0, 1).numpy(), bary.detach().flatten(0, 1).numpy()
    lines = picture.reshape(-1, *picture.shape[2:])
    height, corners, table = face_id.shape[1], faces.numpy(), values.detach().numpy()
    table = table if table.ndim == 3 else np.broadcast_to(table, (len(face_id), *table.shape))
    for_each(lambda part: _mix(face_ids, weights, corners, table, height, *part, lines), stretches(len(lines)))
    return torch.from_numpy(picture)


@njit(nogil=True, cache=True, error_model="numpy")
def _mix(face_id, bary, faces, values, height, first, stop, picture):
    """Fill lines first..stop of the pictures, which stand one below the other, `height` lines each."""
    for line in range(first, stop):
        t = line // height
        for column in range(face_id.shape[1]):
            f = face_id[line, column]
            if f < 0:
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            u, v, w = bary[line, column, 0], bary[line, column, 1], bary[line, column, 2]
            for c in range(values.shape[2]):
                picture[line, column, c] = (u * values[t, i, c] + v * values[t, j, c]) + w * values[t, k, c]
