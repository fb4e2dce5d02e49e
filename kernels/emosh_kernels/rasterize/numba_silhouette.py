"""`silhouette.find_crossings` compiled for the CPU, with the same arithmetic; threads own whole frames."""

import numpy as np
from numba import njit

from emosh_kernels.rasterize.silhouette import SLACK

COMPILED = {"nogil": True, "cache": True, "error_model": "numpy"}


@njit(**COMPILED)
def find_crossings(points, backs, edges, face_id, depth, near):
    """Return pair, edge, beyond and offset of one frame: points (V, 3), backs (F,), edges (E, 7), face_id, depth."""
    height, width = depth.shape
    taken = np.full(2 * height * width, -1, np.int32)  # where a pair's crossing stands in the list
    pair, nearest, edge = np.empty(4096, np.int64), np.empty(4096), np.empty(4096, np.int64)
    beyond, offset = np.empty(4096, np.bool_), np.empty(4096)
    count = 0
    for e in range(len(edges)):
        if edges[e, 3] >= 0 and (backs[edges[e, 4]] != backs[edges[e, 5]]) == (edges[e, 6] == 1):
            continue
        i, j, k = edges[e, 0], edges[e, 1], edges[e, 2]
        ax, ay, aw = points[i, 0], points[i, 1], points[i, 2]
        bx, by, bw = points[j, 0], points[j, 1], points[j, 2]
        nx, ny, nw = ay * bw - aw * by, aw * bx - ax * bw, ax * by - ay * bx
        side = (nx * points[k, 0] + ny * points[k, 1]) + nw * points[k, 2] > 0
        if aw < near and bw < near:
            continue
        axis = 0 if abs(nx) >= abs(ny) else 1
        # Along rows the position is x and the rows are counted by y; along columns the other way round.
        pa, pb, qa, qb, n = (ax, bx, ay, by, nx) if axis == 0 else (ay, by, ax, bx, ny)
        across = height if axis == 0 else width
        first, last = _span(qa, aw, qb, bw, near, across)
        for line in range(first, last + 1):
            fa, fb = qa - (line + 0.5) * aw, qb - (line + 0.5) * bw
            if (fa <= 0) == (fb <= 0):
                continue
            s = fa / (fa - fb)
            w = aw + s * (bw - aw)
            position = (pa + s * (pb - pa)) / w - 0.5
            if not w >= near:
                continue
            across_it = (n > 0) == side
            key, cell = _pair(position, w, line, axis, across_it, face_id, depth, edges[e, 4], edges[e, 5])
            if key < 0:
                continue
            place = taken[key]
            if place < 0:
                if count == len(pair):
                    pair, nearest, edge = _grown(pair), _grown(nearest), _grown(edge)
                    beyond, offset = _grown(beyond), _grown(offset)
                place = count
                taken[key] = place
                pair[place], nearest[place] = key, np.inf
                count += 1
            if w < nearest[place]:
                nearest[place], edge[place], beyond[place], offset[place] = w, e, across_it, position - cell
    order = np.argsort(pair[:count])
    return pair[:count][order], edge[:count][order], beyond[:count][order], offset[:count][order]


@njit(**COMPILED)
def _pair(position, w, line, axis, across_it, face_id, depth, face, other_face):
    """Return the key and first cell of the pixel pair that a crossing lies between; key -1 if it is hidden."""
    height, width = depth.shape
    along = width if axis == 0 else height
    cell = np.floor(position)
    if not 0 <= cell <= along - 1:
        return -1, cell
    row, column = (line, int(cell)) if axis == 0 else (int(cell), line)
    if position == cell:
        # The fill rule gave the pixel to one side, and the silhouette is between it and the other.
        shown, limit = face_id[row, column], w * (1 + SLACK)
        own = shown == face or shown == other_face
        if (shown >= 0 and (own or depth[row, column] <= limit)) == across_it:
            cell -= 1
            row, column = (row, column - 1) if axis == 0 else (row - 1, column)
    if not 0 <= cell <= along - 2:
        return -1, cell
    next_row, next_column = (row, column + 1) if axis == 0 else (row + 1, column)
    here, there = face_id[row, column], face_id[next_row, next_column]
    near_here, near_there = depth[row, column], depth[next_row, next_column]
    shown, other = (there, here) if across_it else (here, there)
    seen, behind = (near_there, near_here) if across_it else (near_here, near_there)
    if not behind > w or shown == other or shown < 0:
        return -1, cell
    if shown != face and shown != other_face and seen > w * (1 + SLACK):
        return -1, cell
    return 2 * (row * width + column) + axis, cell


@njit(**COMPILED)
def _span(qa, aw, qb, bw, near, across):
    """Return the first and last row (column) that an edge may meet."""
    if aw < near or bw < near:
        return 0, across - 1
    low, high = min(qa / aw, qb / bw), max(qa / aw, qb / bw)
    low, high = min(max(low - 1, 0.0), float(across)), min(max(high, 0.0), float(across))
    return int(np.floor(low)), min(int(np.ceil(high)), across - 1)


@njit(**COMPILED)
def _grown(values):
    larger = np.empty(2 * len(values), values.dtype)
    larger[: len(values)] = values
    return larger
