"""The reference for CUDA: a lane per small face, programs for the few large ones, then a pass over the pixels.

Faces compete for a pixel with one integer minimum on (depth, index), which no order of execution can
change. The arithmetic is the reference's in float64, operation by operation; fused multiply-add is
switched off, so the face ids are equal.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from emosh_kernels.rasterize.reference import NOTHING, homogeneous

FACES = 64  # per program
PIXELS = 256  # per program
SMALL = tl.constexpr(12)  # faces whose boxes are wider or higher [px] get programs of their own
PROGRAMS_PER_LARGE = 8
MARGIN = tl.constexpr(1e-3)  # widens boxes [px]: their division rounds, the edge functions have the last word
EMPTY = tl.constexpr(NOTHING)


def rasterize(
    verts_cam: Tensor, faces: Tensor, K: Tensor, size: tuple[int, int], near: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return face_id, depth and bary for checked inputs with K (T, 3, 3)."""
    frames, (height, width) = len(verts_cam), size
    device, count, pixels = verts_cam.device, len(faces), size[0] * size[1]
    points, faces = homogeneous(verts_cam, K).contiguous(), faces.int().contiguous()
    key = torch.full((frames, pixels), NOTHING, dtype=torch.int64, device=device)
    face_id = torch.empty(frames, height, width, dtype=torch.int32, device=device)
    depth = torch.empty(frames, height, width, dtype=torch.float32, device=device)
    bary = torch.empty(frames, height, width, 3, dtype=torch.float32, device=device)
    shape = (points.shape[1], count, width, height, near)
    if frames and count:
        large = torch.empty(frames, count, dtype=torch.int8, device=device)
        _launch(_draw_small, (frames, triton.cdiv(count, FACES)), FACES, points, faces, key, large, *shape)
        items = torch.nonzero(large).int().contiguous()  # it comes column by column
        if len(items):
            _launch(_draw_large, (len(items), PROGRAMS_PER_LARGE), PIXELS, points, faces, key, items, *shape)
    if frames:
        grid = (frames, triton.cdiv(pixels, PIXELS))
        _launch(_resolve, grid, PIXELS, points, faces, key, face_id, depth, bary, *shape)
    return face_id, depth, bary


def _launch(kernel, grid: tuple[int, int], block: int, *arguments) -> None:
    with torch.cuda.device_of(arguments[0]):
        kernel[grid](*arguments, BLOCK=block, enable_fp_fusion=False)


@triton.jit
def _corners(points, faces, f, inside):
    """Load the homogeneous pixels of the corners of faces."""
    p = points + tl.load(faces + f * 3, inside, 0) * 3
    q = points + tl.load(faces + f * 3 + 1, inside, 0) * 3
    r = points + tl.load(faces + f * 3 + 2, inside, 0) * 3
    return (
        tl.load(p, inside, 0), tl.load(p + 1, inside, 0), tl.load(p + 2, inside, 0),
        tl.load(q, inside, 0), tl.load(q + 1, inside, 0), tl.load(q + 2, inside, 0),
        tl.load(r, inside, 0), tl.load(r + 1, inside, 0), tl.load(r + 2, inside, 0),
    )  # fmt: skip


@triton.jit
def _edges(px, py, pw, qx, qy, qw, rx, ry, rw):
    """Return the edge functions, inside positive, and |det|."""
    a0 = qy * rw - qw * ry
    b0 = qw * rx - qx * rw
    c0 = qx * ry - qy * rx
    a1 = ry * pw - rw * py
    b1 = rw * px - rx * pw
    c1 = rx * py - ry * px
    a2 = py * qw - pw * qy
    b2 = pw * qx - px * qw
    c2 = px * qy - py * qx
    det = (px * a0 + py * b0) + pw * c0
    turn = det < 0
    a0 = tl.where(turn, -a0, a0)
    b0 = tl.where(turn, -b0, b0)
    c0 = tl.where(turn, -c0, c0)
    a1 = tl.where(turn, -a1, a1)
    b1 = tl.where(turn, -b1, b1)
    c1 = tl.where(turn, -c1, c1)
    a2 = tl.where(turn, -a2, a2)
    b2 = tl.where(turn, -b2, b2)
    c2 = tl.where(turn, -c2, c2)
    return a0, b0, c0, a1, b1, c1, a2, b2, c2, tl.abs(det)


@triton.jit
def _box(px, py, pw, qx, qy, qw, rx, ry, rw, width, height, near):
    """Return first and last column and row of faces, and which lie wholly in front; others have no box."""
    front = (pw >= near) & (qw >= near) & (rw >= near)
    x0 = px / tl.where(front, pw, 1.0)
    x1 = qx / tl.where(front, qw, 1.0)
    x2 = rx / tl.where(front, rw, 1.0)
    y0 = py / tl.where(front, pw, 1.0)
    y1 = qy / tl.where(front, qw, 1.0)
    y2 = ry / tl.where(front, rw, 1.0)
    low_x = tl.minimum(tl.maximum(tl.minimum(tl.minimum(x0, x1), x2) - MARGIN, 0.0), width + 1.0)
    high_x = tl.maximum(tl.minimum(tl.maximum(tl.maximum(x0, x1), x2) + MARGIN, width + 0.0), -1.0)
    low_y = tl.minimum(tl.maximum(tl.minimum(tl.minimum(y0, y1), y2) - MARGIN, 0.0), height + 1.0)
    high_y = tl.maximum(tl.minimum(tl.maximum(tl.maximum(y0, y1), y2) + MARGIN, height + 0.0), -1.0)
    left = tl.ceil(low_x - 0.5).to(tl.int32)
    right = tl.floor(high_x - 0.5).to(tl.int32)
    top = tl.ceil(low_y - 0.5).to(tl.int32)
    bottom = tl.floor(high_y - 0.5).to(tl.int32)
    return left, right, top, bottom, front


@triton.jit
def _covers(value, a, b):
    return (value > 0) | ((value == 0) & ((a > 0) | ((a == 0) & (b > 0))))


@triton.jit
def _compete(key, f, column, row, width, near, wanted, a0, b0, c0, a1, b1, c1, a2, b2, c2, det):
    """Let faces compete for one pixel each."""
    x = column.to(tl.float64) + 0.5
    y = row.to(tl.float64) + 0.5
    v0 = a0 * x + (b0 * y + c0)
    v1 = a1 * x + (b1 * y + c1)
    v2 = a2 * x + (b2 * y + c2)
    wanted = wanted & _covers(v0, a0, b0) & _covers(v1, a1, b1) & _covers(v2, a2, b2) & (det != 0)
    inverse = 1 / tl.where(wanted, (v0 + v1) + v2, 1.0)
    z = (det * inverse).to(tl.float32)
    wanted = wanted & (z >= near)
    # Positive float32 sort like their bits.
    entry = (z.to(tl.int32, bitcast=True).to(tl.int64) << 32) | f.to(tl.int64)
    tl.atomic_min(key + row * width + column, entry, wanted, sem="relaxed")


@triton.jit
def _draw_small(points, faces, key, large, verts, count, width, height, near, BLOCK: tl.constexpr):
    """Draw a block of faces of one frame, each lane the pixels of its own box; mark those with large boxes."""
    t = tl.program_id(0).to(tl.int64)
    f = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = f < count
    points += t * verts * 3
    key += t * width * height
    px, py, pw, qx, qy, qw, rx, ry, rw = _corners(points, faces, f, inside)
    left, right, top, bottom, front = _box(px, py, pw, qx, qy, qw, rx, ry, rw, width, height, near)
    behind = (pw < near) & (qw < near) & (rw < near)
    some = inside & front & (left <= right) & (top <= bottom)
    small = some & (right - left < SMALL) & (bottom - top < SMALL)
    crossing = inside & (front == 0) & (behind == 0)
    tl.store(large + t * count + f, ((some & (small == 0)) | crossing).to(tl.int8), inside)
    a0, b0, c0, a1, b1, c1, a2, b2, c2, det = _edges(px, py, pw, qx, qy, qw, rx, ry, rw)
    rows = tl.max(tl.where(small, bottom - top + 1, 0), 0)
    columns = tl.max(tl.where(small, right - left + 1, 0), 0)
    for down in range(rows):
        for across in range(columns):
            column = left + across
            row = top + down
            wanted = small & (column <= right) & (row <= bottom)
            _compete(key, f, column, row, width, near, wanted, a0, b0, c0, a1, b1, c1, a2, b2, c2, det)


@triton.jit
def _draw_large(points, faces, key, items, verts, count, width, height, near, BLOCK: tl.constexpr):
    """Draw one face, a block of pixels at a time; one that crosses the camera plane may cover the whole picture."""
    item = tl.program_id(0)
    t = tl.load(items + item * 2).to(tl.int64)
    f = tl.load(items + item * 2 + 1)
    points += t * verts * 3
    key += t * width * height
    # The same face in all lanes: what it costs is nothing, and no value has one lane here and many there.
    index = tl.zeros((BLOCK,), tl.int32) + f
    px, py, pw, qx, qy, qw, rx, ry, rw = _corners(points, faces, index, index >= 0)
    left, right, top, bottom, front = _box(px, py, pw, qx, qy, qw, rx, ry, rw, width, height, near)
    left = tl.max(tl.where(front, left, 0), 0)
    right = tl.max(tl.where(front, right, width - 1), 0)
    top = tl.max(tl.where(front, top, 0), 0)
    bottom = tl.max(tl.where(front, bottom, height - 1), 0)
    a0, b0, c0, a1, b1, c1, a2, b2, c2, det = _edges(px, py, pw, qx, qy, qw, rx, ry, rw)
    across = tl.maximum(right - left + 1, 1)
    pixels = tl.maximum(right - left + 1, 0) * tl.maximum(bottom - top + 1, 0)
    for first in range(tl.program_id(1) * BLOCK, pixels, BLOCK * tl.num_programs(1)):
        place = first + tl.arange(0, BLOCK)
        column = left + place % across
        row = top + place // across
        _compete(key, index, column, row, width, near, place < pixels, a0, b0, c0, a1, b1, c1, a2, b2, c2, det)


@triton.jit
def _resolve(points, faces, key, face_id, depth, bary, verts, count, width, height, near, BLOCK: tl.constexpr):
    """Write what each pixel sees, the barycentrics computed anew from the face."""
    t = tl.program_id(0).to(tl.int64)
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < width * height
    place = t * width * height + pixel
    entry = tl.load(key + place, inside, EMPTY)
    seen = entry != EMPTY
    f = tl.where(seen, entry & 0xFFFFFFFF, -1).to(tl.int32)
    z = (entry >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    tl.store(face_id + place, f, inside)
    tl.store(depth + place, tl.where(seen, z, float("inf")), inside)
    px, py, pw, qx, qy, qw, rx, ry, rw = _corners(points + t * verts * 3, faces, tl.maximum(f, 0), seen)
    a0, b0, c0, a1, b1, c1, a2, b2, c2, _ = _edges(px, py, pw, qx, qy, qw, rx, ry, rw)
    x = (pixel % width).to(tl.float64) + 0.5
    y = (pixel // width).to(tl.float64) + 0.5
    v0 = a0 * x + (b0 * y + c0)
    v1 = a1 * x + (b1 * y + c1)
    v2 = a2 * x + (b2 * y + c2)
    inverse = 1 / tl.where(seen, (v0 + v1) + v2, 1.0)
    tl.store(bary + place * 3, tl.where(seen, v0 * inverse, 0.0).to(tl.float32), inside)
    tl.store(bary + place * 3 + 1, tl.where(seen, v1 * inverse, 0.0).to(tl.float32), inside)
    tl.store(bary + place * 3 + 2, tl.where(seen, v2 * inverse, 0.0).to(tl.float32), inside)
