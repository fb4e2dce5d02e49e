"""The specification in plain torch: every stroke is tried at every pixel."""

import torch
from torch import Tensor


def draw_strokes(
    image: Tensor, ends: Tensor, inverse: Tensor, width: Tensor, color: Tensor, tolerance: Tensor, drawn: Tensor,
    depth: Tensor | None,
) -> None:  # fmt: skip
    """Draw sorted strokes in place: ends (T, N, 2, 2), inverse depth (T, N, 2), width (T, N), color (T, N, C)."""
    height, width_px = image.shape[1:3]
    y = torch.arange(height, device=image.device, dtype=torch.float64)[:, None] + 0.5
    x = torch.arange(width_px, device=image.device, dtype=torch.float64)[None, :] + 0.5
    for t, n in torch.nonzero(drawn).tolist():
        (ax, ay), (bx, by) = ends[t, n]
        dx, dy = bx - ax, by - ay
        length = dx * dx + dy * dy
        s = ((x - ax) * dx + (y - ay) * dy) / torch.where(length > 0, length, 1)
        s = s.clamp(0, 1)
        away = torch.sqrt((x - ax - s * dx) ** 2 + (y - ay - s * dy) ** 2)
        share = width[t, n].clamp(max=1) * (0.5 + width[t, n].clamp(min=1) / 2 - away).clamp(0, 1)
        if depth is not None:
            here = 1 / (inverse[t, n, 0] + s * (inverse[t, n, 1] - inverse[t, n, 0]))
            share = share * (here - tolerance[t, n] <= depth[t].double())
        image[t] += share[..., None].to(image.dtype) * (color[t, n] - image[t])
