"""Edge anti-aliasing: where silhouettes pass between the centres of neighbouring pixels.

A silhouette is an edge of which the camera sees the front of one face and the back of the other, or that
has one face. Between two neighbouring pixel centres it passes at a distance d from the one that it bounds
(0..1): the pixel whose centre is less than half a pixel away shows a share |d − ½| of its neighbour.
A steep edge is met along rows and a flat one along columns, so the shares of an edge add up to the
area that it bounds. That is the blending of nvdiffrast's antialias operator (Laine et al. 2020, §3.5),
but driven by the edges and not by the faces that pixels show: an edge counts however small its faces.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from emosh_kernels.rasterize.reference import homogeneous

SLACK = 0.02
"""A pixel belongs to what an edge bounds if it shows one of its faces or lies at most this share of the
distance behind it: of several faces within a pixel only one is seen at the centre."""


@dataclass(frozen=True)
class Crossings:
    """Pixels that show a share of a neighbour; each pair of neighbours appears once at most."""

    to: Tensor
    """(N,) int64, flat index into (T, H, W): the pixel that takes a share."""
    source: Tensor
    """(N,) int64, the neighbour whose share it takes."""
    share: Tensor
    """(N,) in [0, 1/2], at most 1 in sum for a pixel; differentiable with respect to vertices and intrinsics."""

    def blend(self, pixels: Tensor) -> Tensor:
        """Return pixels (T·H·W, C) with shares of the neighbours blended in."""
        change = self.share.to(pixels.dtype)[:, None] * (pixels[self.source] - pixels[self.to])
        blended = pixels.clone()
        # A pixel takes from each of its neighbours once: side by side nothing is added twice, and the
        # result is the same on every run.
        step = self.source - self.to
        for side in torch.unique(step).tolist():
            rows = step == side
            blended.index_add_(0, self.to[rows], change[rows])
        return blended


def find_crossings(
    verts_cam: Tensor, K: Tensor, faces: Tensor, edges: Tensor, face_id: Tensor, depth: Tensor, near: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find the nearest silhouette between each two neighbouring pixels.

    Args:
        verts_cam: (T, V, 3) [m]; K: (T, 3, 3) [px]; faces: (F, 3).
        edges: (E, 7) of `mesh_edges`.
        face_id, depth: (T, H, W) as drawn.

    Returns:
        pair (N,) int64, ascending: flat index of the left or upper pixel times two, plus one if the
        neighbour lies below; edge (N,) int64, rows of `edges`; beyond (N,) bool: what the edge bounds
        lies at the neighbour; and offset (N,) float64 in [0, 1]: 0 where the edge passes at the first
        pixel's centre, 1 at the neighbour's.
    """
    edges, points = edges.long(), homogeneous(verts_cam, K)
    p, q, r = (points[:, faces[:, i].long()] for i in range(3))
    back = _dot(p, _cross(q, r)) > 0
    rim, alike = edges[:, 3] < 0, edges[:, 6] == 1
    differ = back[:, edges[:, 4]] != back[:, edges[:, 5].clamp(min=0)]
    frame, edge = torch.nonzero(rim | (differ != alike), as_tuple=True)
    a, b, c = (points[frame, edges[edge, i]] for i in range(3))
    n = _cross(a, b)
    side = _dot(n, c) > 0
    steep = n[:, 0].abs() >= n[:, 1].abs()
    found = []
    for axis, chosen in ((0, steep), (1, ~steep)):
        lines = _Lines(a[chosen], b[chosen], n[chosen], side[chosen], frame[chosen], edge[chosen], axis)
        found.append(_visible(lines, edges, face_id, depth, near))
    pair, distance, edge, beyond, offset = (torch.cat(parts) for parts in zip(*found))
    order = torch.arange(len(pair), device=pair.device)
    for key in (edge, distance, pair):  # stable, the most important last: the first of each pair is the nearest
        order = order[torch.sort(key[order], stable=True).indices]
    first = torch.ones_like(pair, dtype=torch.bool)
    first[1:] = pair[order[1:]] != pair[order[:-1]]
    return tuple(values[order[first]] for values in (pair, edge, beyond, offset))


@dataclass(frozen=True)
class _Lines:
    """Silhouettes that are met along one axis: 0 along rows, 1 along columns."""

    a: Tensor
    b: Tensor
    n: Tensor
    side: Tensor
    frame: Tensor
    edge: Tensor
    axis: int


def _visible(lines: _Lines, edges: Tensor, face_id: Tensor, depth: Tensor, near: float):
    """Return pair, distance, edge, beyond and offset of each place where a line passes visibly between two centres."""
    height, width = depth.shape[1:]
    along, across = (width, height) if lines.axis == 0 else (height, width)
    low, high = _span(lines, near, across)
    count = (high - low + 1).clamp(min=0)
    which = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    place = torch.arange(len(which), device=count.device) - (count.cumsum(0) - count)[which] + low[which]
    a, b = (ends[which][:, [lines.axis, 1 - lines.axis, 2]] for ends in (lines.a, lines.b))
    distance, where, met = cross_line(a, b, place + 0.5)
    cell = torch.floor(where - 0.5)
    offset = where - 0.5 - cell
    met &= (distance >= near) & (cell >= 0) & (cell <= along - 1)
    which, place, distance, cell, offset = which[met], place[met], distance[met], cell[met].long(), offset[met]
    frame, edge = lines.frame[which], lines.edge[which]
    pixel = place * width + cell if lines.axis == 0 else cell * width + place
    pixel = pixel + frame * (height * width)
    step = 1 if lines.axis == 0 else width
    beyond = (lines.n[which, lines.axis] > 0) == lines.side[which]
    face_id, depth = face_id.flatten(), depth.flatten().double()

    def bounded(where: Tensor) -> Tensor:
        shown = face_id[where]
        own = (shown == edges[edge, 4]) | (shown == edges[edge, 5])
        return (shown >= 0) & (own | (depth[where] <= distance * (1 + SLACK)))

    # Through a centre: the fill rule gave that pixel to one side, and the silhouette is between it and the other.
    shift = ((offset == 0) & (bounded(pixel) == beyond)).long()
    cell, pixel, offset = cell - shift, pixel - step * shift, offset + shift
    fits = (cell >= 0) & (cell <= along - 2)
    which, distance, edge, beyond = which[fits], distance[fits], edge[fits], beyond[fits]
    pixel, offset = pixel[fits], offset[fits]
    inner, outer = pixel + step * beyond, pixel + step * ~beyond
    keep = (depth[outer] > distance) & (face_id[inner] != face_id[outer]) & bounded(inner)
    return (2 * pixel + lines.axis)[keep], distance[keep], edge[keep], beyond[keep], offset[keep]


def _span(lines: _Lines, near: float, across: int) -> tuple[Tensor, Tensor]:
    """Return the first and last row (column) that each line may meet."""
    ends = torch.stack([lines.a, lines.b])
    front = (ends[..., 2] >= near).all(0)
    where = ends[..., 1 - lines.axis] / ends[..., 2].clamp(min=near)
    low, high = where.amin(0).clamp(0, across), where.amax(0).clamp(0, across)
    low, high = torch.where(front, low, 0.0), torch.where(front, high, float(across))
    return (low - 1).floor().long().clamp(min=0), high.ceil().long().clamp(max=across - 1)


def cross_line(a: Tensor, b: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Meet edges a–b with rows or columns `place` (N,) [px].

    Args:
        a, b: (N, 3) homogeneous pixels: along the row, across it, depth (for columns the other way round).

    Returns:
        depth there [m], position along the row or column [px], and whether they meet (N,) bool.
    """
    fa, fb = a[:, 1] - place * a[:, 2], b[:, 1] - place * b[:, 2]
    met = (fa <= 0) != (fb <= 0)
    s = fa / torch.where(met, fa - fb, 1.0)
    depth = a[:, 2] + s * (b[:, 2] - a[:, 2])
    return depth, (a[:, 0] + s * (b[:, 0] - a[:, 0])) / depth, met


def crossings(
    verts_cam: Tensor, K: Tensor, edges: Tensor, found: tuple[Tensor, Tensor, Tensor, Tensor], size: tuple[int, int]
) -> Crossings:
    """Turn what `find_crossings` found into shares, differentiably.

    Args:
        verts_cam: (T, V, 3) [m].
        K: (T, 3, 3) [px].
        size: height and width [px].
    """
    pair, edge, beyond, offset = found
    width = size[1]
    pixel, down = pair // 2, pair % 2 == 1
    if torch.is_grad_enabled() and (verts_cam.requires_grad or K.requires_grad):
        offset = _offset(verts_cam, K, edges[edge, :2].long(), pixel, down, size)
    step = torch.where(down, width, 1)
    # What the edge bounds reaches `spill` beyond the border of the two pixels; if negative, it falls short.
    spill = torch.where(beyond, 1 - offset, offset).clamp(0, 1) - 0.5
    inner, outer = pixel + step * beyond, pixel + step * ~beyond
    over = spill > 0
    to, source = torch.where(over, outer, inner), torch.where(over, inner, outer)
    share = spill.abs().to(verts_cam.dtype)
    # Sums over the few pixels that take something: a whole picture of sums costs more than all the rest.
    taker, place = torch.unique(to, return_inverse=True)
    total = share.new_zeros(len(taker)).index_add(0, place, share)[place]
    return Crossings(to=to, source=source, share=share / total.clamp(min=1))


def _offset(verts_cam: Tensor, K: Tensor, ends: Tensor, pixel: Tensor, down: Tensor, size: tuple[int, int]) -> Tensor:
    """Return offset (N,) once more, as a function of the vertices `ends` (N, 2) that gradients flow through."""
    height, width = size
    frame = pixel // (height * width)
    row, column = pixel // width % height, pixel % width
    v, k = verts_cam[frame[:, None], ends].double(), K.double()[frame, None]
    x, y, w = ((v[..., 0] * k[..., i, 0] + v[..., 1] * k[..., i, 1]) + v[..., 2] * k[..., i, 2] for i in range(3))
    turned = down[:, None]
    a, b = torch.stack([torch.where(turned, y, x), torch.where(turned, x, y), w], -1).unbind(1)
    position = cross_line(a, b, torch.where(down, column, row) + 0.5)[1]
    return position - torch.where(down, row, column) - 0.5


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Return a × b, written out so that every implementation rounds alike."""
    return torch.stack(
        [
            a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1],
            a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
            a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
        ],
        -1,
    )


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1]) + a[..., 2] * b[..., 2]
