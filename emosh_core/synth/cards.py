"""Deal the cards that hair is made of into a few layers, so that what shows through one is drawn by another."""

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from emosh_core.synth.covered import surface_points

CELL = 0.006
"""Size of the squares in which two cards cover each other [m]."""
DIRECTIONS = ((0, 0, 1), (1, 0, 0), (0, 0, -1), (0.7, 0, 0.7), (-0.7, 0, 0.7), (0, 0.7, 0.7), (0, 1, 0))
"""Where hair is looked at from."""
SEEN_THROUGH = 0.1
"""Cards farther apart in depth than this have a head between them [m]."""


def deal(verts: np.ndarray, faces: np.ndarray, layers: int) -> np.ndarray:
    """Deal a mesh of separate sheets into layers.

    The largest sheets choose first, each the layer in which least of what is there lies in front of or behind it.

    Args:
        verts: (N, 3) [m].
        faces: (F, 3).
        layers: how many there are.

    Returns:
        (F,) the layer of each face.
    """
    sheet = sheets(faces, len(verts))
    overlap = _overlap(verts, faces, sheet)
    size = overlap.diagonal()
    layer = np.full(len(size), -1)
    for number in np.argsort(-size, kind="stable"):
        row = overlap[number].toarray()[0]
        cost = [row[layer == k].sum() + 1e-3 * size[layer == k].sum() for k in range(layers)]
        layer[number] = int(np.argmin(cost))
    return layer[sheet]


def sheets(faces: np.ndarray, count: int) -> np.ndarray:
    """Return which connected sheet each face (F, 3) of `count` vertices belongs to (F,), numbered without gaps."""
    rows, columns = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    _, of_vertex = connected_components(coo_matrix((np.ones(len(rows)), (rows, columns)), (count, count)), False)
    return np.unique(of_vertex[faces[:, 0]], return_inverse=True)[1]


def _overlap(verts: np.ndarray, faces: np.ndarray, sheet: np.ndarray) -> csr_matrix:
    """Return in how many squares, over all directions, two sheets (S, S) are seen one through the other."""
    total = None
    points, owner = [], []
    for number in range(sheet.max() + 1):
        these = surface_points(verts, faces[sheet == number], CELL)
        points.append(these)
        owner.append(np.full(len(these), number))
    points, owner = np.concatenate(points), np.concatenate(owner)
    for direction in DIRECTIONS:
        ahead = np.array(direction) / np.linalg.norm(direction)
        right = np.cross([0, 1, 0.01], ahead)
        right /= np.linalg.norm(right)
        frame = np.stack([right, np.cross(ahead, right), ahead * CELL / SEEN_THROUGH])
        cell = np.floor(points @ frame.T / CELL).astype(np.int64)
        _, cell = np.unique(cell, axis=0, return_inverse=True)
        held = coo_matrix((np.ones(len(owner)), (owner, cell.ravel()))).tocsr()
        held.data[:] = 1
        total = held @ held.T if total is None else total + held @ held.T
    return total.tocsr()
