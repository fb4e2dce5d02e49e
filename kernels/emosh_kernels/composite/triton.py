"""The reference for CUDA: a program per block of pixels goes through their fine pixels and the layers there."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 128  # pixels


def composite(layers: list, oversample: int) -> Tensor:
    """Return (T, H, W, 4) for checked inputs."""
    frames, rows, columns = layers[0].fragments.face_id.shape
    height, width = rows // oversample, columns // oversample
    depth = torch.stack([layer.fragments.depth for layer in layers])
    if not depth.numel():
        return depth.new_zeros(frames, height, width, 4)
    painted = torch.empty(len(layers), frames, rows, columns, 4, dtype=torch.float32, device=depth.device)
    with torch.cuda.device_of(depth):
        for layer, color in zip(layers, painted, strict=True):
            fragments, (high, wide) = layer.fragments, layer.texture.shape[:2]
            _look_up[(frames, triton.cdiv(rows * columns, BLOCK))](
                fragments.face_id.contiguous(), fragments.bary.contiguous(), layer.values.contiguous(),
                layer.faces.to(torch.int32).contiguous(), layer.texture.contiguous(), color, rows * columns,
                layer.values.shape[1], high, wide, SIZE=BLOCK,
            )  # fmt: skip
        out = torch.empty(frames, height, width, 4, dtype=torch.float32, device=depth.device)
        _resolve[(frames, triton.cdiv(height * width, BLOCK))](
            painted, depth, out, height, width, frames * rows * columns,
            LAYERS=len(layers), FINE=oversample, SIZE=BLOCK,
        )  # fmt: skip
    return out


@triton.jit
def _corner(values, corner, weight, sums, held):
    """Add a corner's seven values times its weight to seven sums."""
    place = values + corner * 7
    return (
        sums[0] + weight * tl.load(place, held, 0), sums[1] + weight * tl.load(place + 1, held, 0),
        sums[2] + weight * tl.load(place + 2, held, 0), sums[3] + weight * tl.load(place + 3, held, 0),
        sums[4] + weight * tl.load(place + 4, held, 0), sums[5] + weight * tl.load(place + 5, held, 0),
        sums[6] + weight * tl.load(place + 6, held, 0),
    )  # fmt: skip


@triton.jit
def _texel(texture, place, w00, w01, w10, w11, p00, p01, p10, p11, held):
    """Return one channel bilinearly."""
    top = w00 * tl.load(texture + p00 * 4 + place, held, 0) + w01 * tl.load(texture + p01 * 4 + place, held, 0)
    return top + (
        w10 * tl.load(texture + p10 * 4 + place, held, 0) + w11 * tl.load(texture + p11 * 4 + place, held, 0)
    )


@triton.jit
def _look_up(face_id, bary, values, faces, texture, color, pixels, rows, high, wide, SIZE: tl.constexpr):
    """Write a layer's own picture, premultiplied; 0 where it does not cover."""
    t = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    inside = at < pixels
    at = t * pixels + at
    face = tl.load(face_id + at, inside, -1)
    held = face >= 0
    zero = tl.zeros([SIZE], tl.float32)
    sums = (zero, zero, zero, zero, zero, zero, zero)
    own = values + t * rows * 7
    for k in tl.static_range(3):
        corner = tl.load(faces + face * 3 + k, held, 0)
        sums = _corner(own, corner, tl.load(bary + at * 3 + k, held, 0), sums, held)
    x = tl.minimum(tl.maximum(sums[0] - 0.5, 0.0), (wide - 1).to(tl.float32))
    y = tl.minimum(tl.maximum(sums[1] - 0.5, 0.0), (high - 1).to(tl.float32))
    x0 = x.to(tl.int32)
    y0 = y.to(tl.int32)
    x1 = tl.minimum(x0 + 1, wide - 1)
    y1 = tl.minimum(y0 + 1, high - 1)
    across = x - x0.to(tl.float32)
    along = y - y0.to(tl.float32)
    w11 = across * along
    w01 = across - w11
    w10 = along - w11
    w00 = 1.0 - across - w10
    p00 = y0 * wide + x0
    p01 = y0 * wide + x1
    p10 = y1 * wide + x0
    p11 = y1 * wide + x1
    alpha = _texel(texture, 3, w00, w01, w10, w11, p00, p01, p10, p11, held) * sums[5]
    shine = sums[6] * alpha
    tl.store(color + at * 4 + 3, alpha, inside)
    for k in tl.static_range(3):
        mixed = _texel(texture, k, w00, w01, w10, w11, p00, p01, p10, p11, held)
        lit = mixed * (sums[2 + k] * sums[5]) + shine
        tl.store(color + at * 4 + k, tl.minimum(tl.maximum(lit, 0.0), alpha), inside)


@triton.jit
def _resolve(
    painted, depth, out, height, width, stride, LAYERS: tl.constexpr, FINE: tl.constexpr, SIZE: tl.constexpr
):
    """Lay the layers over each other, the nearest first, and average the fine pixels."""
    t = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    inside = at < height * width
    row = at // width
    column = at % width
    red = tl.zeros([SIZE], tl.float32)
    green = tl.zeros([SIZE], tl.float32)
    blue = tl.zeros([SIZE], tl.float32)
    alpha = tl.zeros([SIZE], tl.float32)
    for sub in tl.static_range(FINE * FINE):
        fine = (t * height * FINE + row * FINE + sub // FINE) * (width * FINE) + column * FINE + sub % FINE
        left = tl.full([SIZE], 1.0 / (FINE * FINE), tl.float32)
        last_depth = tl.full([SIZE], -1.0, tl.float32)
        last = tl.full([SIZE], -1, tl.int32)
        for _ in tl.static_range(LAYERS):
            nearest = tl.full([SIZE], float("inf"), tl.float32)
            chosen = tl.full([SIZE], -1, tl.int32)
            for k in tl.static_range(LAYERS):
                z = tl.load(depth + k * stride + fine, inside, float("inf"))
                nearer = (z < nearest) & ((z > last_depth) | ((z == last_depth) & (k > last)))
                nearest = tl.where(nearer, z, nearest)
                chosen = tl.where(nearer, k, chosen)
            held = inside & (chosen >= 0)
            place = painted + (tl.maximum(chosen, 0).to(tl.int64) * stride + fine) * 4
            red += left * tl.load(place, held, 0)
            green += left * tl.load(place + 1, held, 0)
            blue += left * tl.load(place + 2, held, 0)
            own = tl.load(place + 3, held, 0)
            alpha += left * own
            left *= 1.0 - own
            last_depth = tl.where(held, nearest, last_depth)
            last = tl.where(held, chosen, last)
    place = out + (t * height * width + at) * 4
    tl.store(place, red, inside)
    tl.store(place + 1, green, inside)
    tl.store(place + 2, blue, inside)
    tl.store(place + 3, alpha, inside)
