"""Surfaces that do not follow the skin: rings around what they enclose, joined to tubes and sheets."""

import numpy as np

DIRECTIONS = 72
"""Directions in which a convex hull is measured."""


def hull_radius(points: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return how far the convex hull of points (N, 2) about the origin reaches in each direction (A,), at least 0.

    From the support function h(φ) = max p·u(φ), the hull in direction θ ends at min h(φ) / cos(θ − φ).
    """
    phi = np.linspace(0, 2 * np.pi, DIRECTIONS, endpoint=False)
    support = (points @ np.stack([np.cos(phi), np.sin(phi)])).max(0)
    cosine = np.cos(angles[:, None] - phi)
    reach = np.where(cosine > 0.15, support / np.maximum(cosine, 0.15), np.inf)
    return reach.min(1).clip(0)


def grid_faces(rows: int, columns: int) -> np.ndarray:
    """Return the triangles (F, 3) of a grid whose vertices are numbered row by row.

    Seen from the side on which columns run to the right and rows run down they are counter-clockwise.
    """
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    right, below = corner + 1, corner + columns
    return np.concatenate([np.stack([corner, below, right], 1), np.stack([right, below, below + 1], 1)])


def grid_texels(rows: int, columns: int, size: tuple[int, int]) -> np.ndarray:
    """Return where a grid's vertices lie in a picture of a width and height, row by row (rows · columns, 2) [px]."""
    x, y = np.meshgrid(np.linspace(1, size[0] - 1, columns), np.linspace(1, size[1] - 1, rows))
    return np.stack([x, y], -1).reshape(-1, 2).astype(np.float32)


def close_ring(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join the last column of a grid (R, C, ...) to the first.

    Returns:
        The vertices (R · (C − 1), ...) without the last column, and the vertex (R · C,) of each place in the grid.
    """
    rows, columns = grid.shape[:2]
    owner = np.arange(rows)[:, None] * (columns - 1) + np.arange(columns) % (columns - 1)
    return grid[:, :-1].reshape(-1, *grid.shape[2:]), owner.ravel()
