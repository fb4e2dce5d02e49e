"""Which parts of a body lie close under a garment or under hair, at rest."""

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.spatial import cKDTree

SPACING = 0.005
"""Distance of the points that stand for a garment's surface [m]."""
DEEPEST = 0.012
"""A garment that runs this far inside the body at most still counts as lying on it [m]."""


def covered(verts: np.ndarray, normals: np.ndarray, cloth: np.ndarray, faces: np.ndarray, reach: float) -> np.ndarray:
    """Say which vertices a surface covers.

    A vertex is covered if the surface crosses its normal less than `reach` outside the body.

    Args:
        verts: (V, 3) of the body [m].
        normals: (V, 3) unit, outward.
        cloth: (N, 3) vertices of the surface [m].
        faces: (F, 3) its triangles.
        reach: [m].

    Returns:
        (V,) bool.
    """
    tree = cKDTree(surface_points(cloth, faces, SPACING))
    steps = np.arange(-DEEPEST, reach + SPACING, SPACING)
    along = verts[:, None] + steps[:, None] * normals[:, None]
    far, _ = tree.query(along.reshape(-1, 3), distance_upper_bound=SPACING)
    return np.isfinite(far).reshape(len(verts), -1).any(1)


def surface_points(verts: np.ndarray, faces: np.ndarray, spacing: float) -> np.ndarray:
    """Return points (N, 3) all over a surface, at most `spacing` apart [m]."""
    a, b, c = verts[faces].transpose(1, 0, 2)
    longest = np.sqrt(np.max([((p - q) ** 2).sum(1) for p, q in ((a, b), (b, c), (c, a))], 0))
    count = np.ceil(longest / spacing).astype(int).clip(1, 60)
    points = []
    for n in np.unique(count):
        u, v = np.meshgrid(np.arange(n + 1) / n, np.arange(n + 1) / n, indexing="ij")
        u, v = u[u + v <= 1 + 1e-9], v[u + v <= 1 + 1e-9]
        which = count == n
        points.append(a[which][:, None] + u[:, None] * (b - a)[which][:, None] + v[:, None] * (c - a)[which][:, None])
    return np.concatenate([p.reshape(-1, 3) for p in points])


def neighbours(faces: np.ndarray, count: int) -> csr_matrix:
    """Return which vertices share an edge (V, V), each with itself."""
    rows = np.concatenate([faces.ravel(), faces[:, [1, 2, 0]].ravel(), faces[:, [2, 0, 1]].ravel(), np.arange(count)])
    columns = np.concatenate([np.tile(faces.ravel(), 3), np.arange(count)])
    return coo_matrix((np.ones(len(rows), np.float32), (rows, columns)), (count, count)).tocsr()


def inner(mask: np.ndarray, near: csr_matrix, rings: int) -> np.ndarray:
    """Take `rings` rings of vertices off the rim of a set of vertices (V,) bool."""
    for _ in range(rings):
        mask = ~((near @ (~mask).astype(np.float32)) > 0)
    return mask


def smooth(values: np.ndarray, near: csr_matrix, rounds: int) -> np.ndarray:
    """Average values (V, ...) with those of the neighbours, several times."""
    share = near.multiply(1 / near.sum(1)).tocsr()
    share.data = share.data.astype(np.float32)
    for _ in range(rounds):
        values = share @ values
    return values
