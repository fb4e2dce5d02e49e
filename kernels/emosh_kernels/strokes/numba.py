"""The reference compiled for the CPU: each stroke is tried at the pixels around it; threads own whole frames."""

import numpy as np
from numba import njit
from torch import Tensor

from emosh_kernels.threads import for_each


def draw_strokes(
    image: Tensor, ends: Tensor, inverse: Tensor, width: Tensor, color: Tensor, tolerance: Tensor, drawn: Tensor,
    depth: Tensor | None,
) -> None:  # fmt: skip
    """Draw sorted strokes in place: ends (T, N, 2, 2), inverse depth (T, N, 2), width (T, N), color (T, N, C)."""
    picture = image.numpy()
    nothing = np.zeros((0, 0), np.float32)
    arrays = [values.numpy() for values in (ends, inverse, width, color, tolerance, drawn)]

    def draw(t: int) -> None:
        surface = nothing if depth is None else depth[t].detach().numpy()
        _draw(picture[t], *(values[t] for values in arrays), surface)

    for_each(draw, range(len(picture)))


@njit(nogil=True, cache=True, error_model="numpy")
def _draw(image, ends, inverse, width, color, tolerance, drawn, depth):
    """Draw the strokes of one frame in place; a depth picture without pixels hides nothing."""
    rows, columns = image.shape[:2]
    for n in range(len(drawn)):
        if not drawn[n]:
            continue
        ax, ay, bx, by = ends[n, 0, 0], ends[n, 0, 1], ends[n, 1, 0], ends[n, 1, 1]
        reach, opacity = 0.5 + max(width[n], 1.0) / 2, min(width[n], 1.0)
        left, right = max(min(ax, bx) - reach, 0.0), min(max(ax, bx) + reach, float(columns))
        top, bottom = max(min(ay, by) - reach, 0.0), min(max(ay, by) + reach, float(rows))
        if left >= right or top >= bottom:
            continue
        dx, dy = bx - ax, by - ay
        length = dx * dx + dy * dy
        scale = 1 / length if length > 0 else 1.0
        for row in range(int(top), min(int(bottom) + 1, rows)):
            for column in range(int(left), min(int(right) + 1, columns)):
                x, y = column + 0.5 - ax, row + 0.5 - ay
                s = min(max((x * dx + y * dy) * scale, 0.0), 1.0)
                share = opacity * min(reach - np.sqrt((x - s * dx) ** 2 + (y - s * dy) ** 2), 1.0)
                if share <= 0:
                    continue
                if depth.size:
                    here = 1 / (inverse[n, 0] + s * (inverse[n, 1] - inverse[n, 0]))
                    if not here - tolerance[n] <= depth[row, column]:
                        continue
                for c in range(image.shape[2]):
                    image[row, column, c] += np.float32(share) * (color[n, c] - image[row, column, c])
