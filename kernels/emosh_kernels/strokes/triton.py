"""The reference for CUDA: a program per tile of pixels goes through the strokes of its frame in their order."""

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 16  # side [px]


def draw_strokes(
    image: Tensor, ends: Tensor, inverse: Tensor, width: Tensor, color: Tensor, tolerance: Tensor, drawn: Tensor,
    depth: Tensor | None,
) -> None:  # fmt: skip
    """Draw sorted strokes in place: ends (T, N, 2, 2), inverse depth (T, N, 2), width (T, N), color (T, N, C)."""
    frames, rows, columns, channels = image.shape
    if not image.numel() or not drawn.numel():
        return
    # One row a stroke, so that a program reads it in one go: ends, inverse depths, width, tolerance.
    table = torch.cat([ends.flatten(2), inverse, width[..., None], tolerance[..., None]], 2).contiguous()
    surface = image if depth is None else depth.float().contiguous()
    grid = (frames, triton.cdiv(rows, TILE) * triton.cdiv(columns, TILE))
    with torch.cuda.device_of(image):
        _draw[grid](
            image, table, color.contiguous(), drawn.to(torch.int8).contiguous(), surface, drawn.shape[1], rows,
            columns, channels, HIDES=depth is not None, SIDE=TILE, CHANNELS=triton.next_power_of_2(channels),
        )  # fmt: skip


@triton.jit
def _draw(
    picture, table, color, drawn, surface, count, rows, columns, channels,
    HIDES: tl.constexpr, SIDE: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Draw all strokes of one frame into one tile."""
    t = tl.program_id(0).to(tl.int64)
    across = tl.cdiv(columns, SIDE)
    top = tl.program_id(1) // across * SIDE
    left = tl.program_id(1) % across * SIDE
    lane = tl.arange(0, SIDE * SIDE)
    row = top + lane // SIDE
    column = left + lane % SIDE
    inside = (row < rows) & (column < columns)
    place = t * rows * columns + row * columns + column
    channel = tl.arange(0, CHANNELS)[None, :]
    held = inside[:, None] & (channel < channels)
    pixels = tl.load(picture + place[:, None] * channels + channel, held, 0)
    x = column.to(tl.float64) + 0.5
    y = row.to(tl.float64) + 0.5
    if HIDES:
        seen = tl.load(surface + place, inside, 0).to(tl.float64)
    for n in range(count):
        line = table + (t * count + n) * 8
        ax = tl.load(line)
        ay = tl.load(line + 1)
        bx = tl.load(line + 2)
        by = tl.load(line + 3)
        width = tl.load(line + 6)
        reach = 0.5 + tl.maximum(width, 1.0) / 2
        hit = (tl.load(drawn + t * count + n) != 0) & (tl.maximum(ax, bx) + reach > left)
        hit = hit & (tl.minimum(ax, bx) - reach < left + SIDE) & (tl.maximum(ay, by) + reach > top)
        hit = hit & (tl.minimum(ay, by) - reach < top + SIDE)
        if hit:
            dx = bx - ax
            dy = by - ay
            length = dx * dx + dy * dy
            s = ((x - ax) * dx + (y - ay) * dy) / tl.where(length > 0, length, 1.0)
            s = tl.minimum(tl.maximum(s, 0.0), 1.0)
            ex = x - ax - s * dx
            ey = y - ay - s * dy
            away = tl.sqrt(ex * ex + ey * ey)
            share = tl.minimum(width, 1.0) * tl.minimum(tl.maximum(reach - away, 0.0), 1.0)
            if HIDES:
                near = tl.load(line + 4)
                here = 1 / (near + s * (tl.load(line + 5) - near))
                share = tl.where(here - tl.load(line + 7) <= seen, share, 0.0)
            tint = tl.load(color + (t * count + n) * channels + channel, channel < channels, 0)
            pixels += share[:, None].to(pixels.dtype) * (tint - pixels)
    tl.store(picture + place[:, None] * channels + channel, pixels, held)
