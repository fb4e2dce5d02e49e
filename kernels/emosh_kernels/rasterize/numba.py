"""The reference compiled for the CPU: each face is tried at the pixels of its bounding box only.

The arithmetic is the reference's, operation by operation (no fused multiply-add, no fast maths), so
the face ids are equal, not merely close. Threads share nothing: each owns whole rows of one frame.
"""

import numpy as np
import torch
from numba import njit
from torch import Tensor

from emosh_kernels.threads import for_each

COMPILED = {"nogil": True, "cache": True, "error_model": "numpy"}
MARGIN = 1e-3
"""Widens bounding boxes [px]: their division rounds, the edge functions have the last word."""
FAR = 2.0**30
"""Pixels are not counted beyond this."""
BEHIND = -(2**31)
TOGETHER = 128
"""Faces that are drawn together."""
ROOM = 2048
"""Pixels that are gathered before they are shaded, give or take a row."""
TILE = 4
"""Side of the squares [px] for which the farthest depth is kept."""
ROUNDING = 1e-5
"""A face counts as hidden only if it lies this share of its distance farther: depths are rounded."""


def rasterize(
    verts_cam: Tensor, faces: Tensor, K: Tensor, size: tuple[int, int], near: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return face_id, depth and bary for checked inputs with K (T, 3, 3)."""
    frames, (height, width) = len(verts_cam), size
    face_id = np.empty((frames, height, width), np.int32)
    depth = np.empty((frames, height, width), np.float32)
    bary = np.empty((frames, height, width, 3), np.float32)
    verts, k = verts_cam.numpy(), K.numpy().astype(np.float64)
    corners = faces.numpy().astype(np.int32)
    threads = torch.get_num_threads()
    bands = min(height, -(-threads // max(frames, 1)))
    rows = [height * band // bands for band in range(bands + 1)]

    def draw(job: tuple[int, int]) -> None:
        t, band = job
        points, around = _project(verts[t], k[t], near)
        _draw(points, around, corners, near, rows[band], rows[band + 1], face_id[t], depth[t], bary[t])

    for_each(draw, [(t, band) for t in range(frames) for band in range(bands)])
    return torch.from_numpy(face_id), torch.from_numpy(depth), torch.from_numpy(bary)


def find_crossings(
    verts_cam: Tensor, K: Tensor, faces: Tensor, edges: Tensor, face_id: Tensor, depth: Tensor, near: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find silhouettes as `silhouette.find_crossings` does, a frame per thread."""
    from emosh_kernels.rasterize import numba_silhouette

    verts, k, edge_list = verts_cam.numpy(), K.numpy().astype(np.float64), edges.numpy()
    corners = faces.numpy().astype(np.int32)
    pixels, found = depth[0].numel(), [()] * len(verts)

    def find(t: int) -> None:
        points, _ = _project(verts[t], k[t], near)
        pair, *rest = numba_silhouette.find_crossings(
            points, _backs(points, corners), edge_list, face_id[t].numpy(), depth[t].numpy(), near
        )
        found[t] = pair + 2 * t * pixels, *rest

    for_each(find, range(len(verts)))
    return tuple(torch.from_numpy(np.concatenate(parts)) for parts in zip(*found, strict=True))


@njit(**COMPILED)
def _project(verts, k, near):
    """Return homogeneous pixels K v (V, 3) and, for boxes, the pixel centres around each (V, 4).

    The latter are the first column whose centre is not left of the vertex, the last that is not right
    of it, and the same for rows, give or take MARGIN; a vertex behind `near` has BEHIND there.
    """
    points, around = np.empty((len(verts), 3)), np.empty((len(verts), 4), np.int32)
    for i in range(len(verts)):
        x, y, z = np.float64(verts[i, 0]), np.float64(verts[i, 1]), np.float64(verts[i, 2])
        for j in range(3):
            points[i, j] = (x * k[j, 0] + y * k[j, 1]) + z * k[j, 2]
        if points[i, 2] >= near:
            inverse = 1 / points[i, 2]
            column = min(max(points[i, 0] * inverse - 0.5, -FAR), FAR)
            row = min(max(points[i, 1] * inverse - 0.5, -FAR), FAR)
            around[i, 0], around[i, 1] = np.ceil(column - MARGIN), np.floor(column + MARGIN)
            around[i, 2], around[i, 3] = np.ceil(row - MARGIN), np.floor(row + MARGIN)
        else:
            around[i] = BEHIND
    return points, around


@njit(**COMPILED)
def _clipped_box(points, i, j, k, near):
    """Return the columns and rows around the part of a face that lies in front of `near`; none if none does."""
    x0, x1, y0, y1 = FAR, -FAR, FAR, -FAR
    for a, b in ((i, j), (j, k), (k, i)):
        if points[a, 2] >= near:
            x, y = points[a, 0] / points[a, 2], points[a, 1] / points[a, 2]
            x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
        if (points[a, 2] >= near) != (points[b, 2] >= near):
            s = (near - points[a, 2]) / (points[b, 2] - points[a, 2])
            x = (points[a, 0] + s * (points[b, 0] - points[a, 0])) / near
            y = (points[a, 1] + s * (points[b, 1] - points[a, 1])) / near
            x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
    x0, x1, y0, y1 = max(x0, -FAR), min(x1, FAR), max(y0, -FAR), min(y1, FAR)
    return (
        int(np.ceil(x0 - 0.5 - MARGIN)), int(np.floor(x1 - 0.5 + MARGIN)),
        int(np.ceil(y0 - 0.5 - MARGIN)), int(np.floor(y1 - 0.5 + MARGIN)),
    )  # fmt: skip


@njit(**COMPILED)
def _owns(a, b):
    return a > 0 or (a == 0 and b > 0)


@njit(**COMPILED)
def _boxes(points, around, faces, near, width, row0, row1, order, boxes):
    """Find the faces that may cover a pixel centre in rows row0..row1.

    Writes them to `order` (F,), those that face the camera first, and the first and last column and
    row of each to the same place of `boxes` (F, 4). Returns how many there are of both sorts.
    """
    front, back = 0, len(faces)
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        left = min(around[i, 0], around[j, 0], around[k, 0])
        right = max(around[i, 1], around[j, 1], around[k, 1])
        top = min(around[i, 2], around[j, 2], around[k, 2])
        bottom = max(around[i, 3], around[j, 3], around[k, 3])
        if left == BEHIND:
            left, right, top, bottom = _clipped_box(points, i, j, k, near)
        left, right, top, bottom = max(left, 0), min(right, width - 1), max(top, row0), min(bottom, row1 - 1)
        if left > right or top > bottom:
            continue
        if _turned_away(points, i, j, k):
            back -= 1
            place = back
        else:
            place = front
            front += 1
        order[place] = f
        boxes[place, 0], boxes[place, 1], boxes[place, 2], boxes[place, 3] = left, right, top, bottom
    return front, len(faces) - back


@njit(**COMPILED)
def _draw(points, around, faces, near, row0, row1, face_id, depth, bary):
    """Clear rows row0..row1 of one frame, then draw all faces into them.

    Faces that turn their back come last: on a closed surface they are hidden, which the tiles of
    `_farthest` mostly know without looking at a pixel. The order changes nothing in the result.
    """
    face_id[row0:row1], depth[row0:row1], bary[row0:row1] = -1, np.inf, 0
    order, boxes = np.empty(len(faces), np.int32), np.empty((len(faces), 4), np.int32)
    front, back = _boxes(points, around, faces, near, face_id.shape[1], row0, row1, order, boxes)
    edges, chosen = np.empty((TOGETHER, 10)), np.empty(TOGETHER, np.int32)
    inside = np.empty(ROOM + face_id.shape[1], np.int64)
    count, farthest = 0, np.empty((0, 0), np.float32)
    for turn in range(front + back):
        if turn == front:
            _fill(points, faces, near, order, boxes, chosen, count, edges, inside, face_id, depth, bary)
            count, farthest = 0, _farthest(depth, row0, row1)
        place = turn if turn < front else len(faces) - 1 - (turn - front)
        if turn >= front and _hidden(points, faces, order[place], boxes, place, farthest):
            continue
        chosen[count] = place
        count += 1
        if count == TOGETHER:
            _fill(points, faces, near, order, boxes, chosen, count, edges, inside, face_id, depth, bary)
            count = 0
    _fill(points, faces, near, order, boxes, chosen, count, edges, inside, face_id, depth, bary)


@njit(**COMPILED)
def _backs(points, faces):
    """Return which faces (F,) show their back."""
    backs = np.empty(len(faces), np.bool_)
    for f in range(len(faces)):
        backs[f] = _turned_away(points, faces[f, 0], faces[f, 1], faces[f, 2])
    return backs


@njit(**COMPILED)
def _turned_away(points, i, j, k):
    """Say whether a face shows its back: the sign of its corners' determinant, as in `_fill`."""
    a = points[j, 1] * points[k, 2] - points[j, 2] * points[k, 1]
    b = points[j, 2] * points[k, 0] - points[j, 0] * points[k, 2]
    c = points[j, 0] * points[k, 1] - points[j, 1] * points[k, 0]
    return (points[i, 0] * a + points[i, 1] * b) + points[i, 2] * c > 0


@njit(**COMPILED)
def _farthest(depth, row0, row1):
    """Return the largest depth in each tile; rows outside row0..row1 do not count."""
    height, width = depth.shape
    tiles = np.zeros(((height + TILE - 1) // TILE, (width + TILE - 1) // TILE), np.float32)
    for row in range(row0, row1):
        for column in range(width):
            if depth[row, column] > tiles[row // TILE, column // TILE]:
                tiles[row // TILE, column // TILE] = depth[row, column]
    return tiles


@njit(**COMPILED)
def _hidden(points, faces, f, boxes, place, farthest):
    """Say whether all pixels of a face's box certainly show something nearer than each of its corners."""
    nearest = min(points[faces[f, 0], 2], points[faces[f, 1], 2], points[faces[f, 2], 2]) * (1 - ROUNDING)
    for row in range(boxes[place, 2] // TILE, boxes[place, 3] // TILE + 1):
        for column in range(boxes[place, 0] // TILE, boxes[place, 1] // TILE + 1):
            if farthest[row, column] >= nearest:
                return False
    return True


@njit(**COMPILED)
def _fill(points, faces, near, order, boxes, chosen, count, edges, inside, face_id, depth, bary):
    """Draw `count` chosen faces.

    Three passes, each without the branches of the others: what a processor mispredicts in one does not
    stop the arithmetic of the next. The faces are so few that their edge functions stay in its cache.
    """
    for m in range(count):
        _set_up(points, faces, order[chosen[m]], edges, m)
    found = 0
    for m in range(count):
        a0, b0, c0, a1, b1, c1 = edges[m, 0], edges[m, 1], edges[m, 2], edges[m, 3], edges[m, 4], edges[m, 5]
        a2, b2, c2 = edges[m, 6], edges[m, 7], edges[m, 8]
        left, right = boxes[chosen[m], 0], boxes[chosen[m], 1]
        for row in range(boxes[chosen[m], 2], boxes[chosen[m], 3] + 1):
            y = row + 0.5
            d0, d1, d2 = b0 * y + c0, b1 * y + c1, b2 * y + c2
            for column in range(left, right + 1):
                x = column + 0.5
                inside[found] = (m << 48) | (row << 24) | column
                found += min(a0 * x + d0, a1 * x + d1, a2 * x + d2) >= 0
            if found > ROOM:
                _shade(near, order, chosen, edges, inside, found, face_id, depth, bary)
                found = 0
    _shade(near, order, chosen, edges, inside, found, face_id, depth, bary)


@njit(**COMPILED)
def _set_up(points, faces, f, edges, m):
    """Write the edge functions of a face, inside positive, and |det| to row m of `edges`."""
    px, py, pw = points[faces[f, 0], 0], points[faces[f, 0], 1], points[faces[f, 0], 2]
    qx, qy, qw = points[faces[f, 1], 0], points[faces[f, 1], 1], points[faces[f, 1], 2]
    rx, ry, rw = points[faces[f, 2], 0], points[faces[f, 2], 1], points[faces[f, 2], 2]
    a0, b0, c0 = qy * rw - qw * ry, qw * rx - qx * rw, qx * ry - qy * rx
    a1, b1, c1 = ry * pw - rw * py, rw * px - rx * pw, rx * py - ry * px
    a2, b2, c2 = py * qw - pw * qy, pw * qx - px * qw, px * qy - py * qx
    det = (px * a0 + py * b0) + pw * c0
    sign = 1.0 if det > 0 else -1.0
    edges[m, 0], edges[m, 1], edges[m, 2] = sign * a0, sign * b0, sign * c0
    edges[m, 3], edges[m, 4], edges[m, 5] = sign * a1, sign * b1, sign * c1
    edges[m, 6], edges[m, 7], edges[m, 8] = sign * a2, sign * b2, sign * c2
    edges[m, 9] = sign * det


@njit(**COMPILED)
def _shade(near, order, chosen, edges, inside, found, face_id, depth, bary):
    """Let faces compete for the pixels that they may cover: `inside` holds face, row and column of each."""
    for m in range(found):
        face, row, column = inside[m] >> 48, (inside[m] >> 24) & 0xFFFFFF, inside[m] & 0xFFFFFF
        x, y = column + 0.5, row + 0.5
        v0 = edges[face, 0] * x + (edges[face, 1] * y + edges[face, 2])
        v1 = edges[face, 3] * x + (edges[face, 4] * y + edges[face, 5])
        v2 = edges[face, 6] * x + (edges[face, 7] * y + edges[face, 8])
        if min(v0, v1, v2) == 0 and not (
            (v0 > 0 or _owns(edges[face, 0], edges[face, 1]))
            and (v1 > 0 or _owns(edges[face, 3], edges[face, 4]))
            and (v2 > 0 or _owns(edges[face, 6], edges[face, 7]))
        ):
            continue
        f, inverse = order[chosen[face]], 1 / ((v0 + v1) + v2)
        z = np.float32(edges[face, 9] * inverse)
        if z > depth[row, column] or not z >= near or (z == depth[row, column] and f > face_id[row, column]):
            continue
        depth[row, column] = z
        face_id[row, column] = f
        bary[row, column, 0] = v0 * inverse
        bary[row, column, 1] = v1 * inverse
        bary[row, column, 2] = v2 * inverse
