"""Tie points to a mesh: on its surface by one triangle, inside a limb by two."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class Embedding:
    """Landmarks as convex combinations of six vertices each."""

    verts: np.ndarray  # (N, 6) int32
    weights: np.ndarray  # (N, 6), rows sum to 1

    def points(self, verts: np.ndarray) -> np.ndarray:
        """Return the landmarks (N, 3) on a mesh (V, 3)."""
        return np.einsum("nk,nkx->nx", self.weights, verts[self.verts])


def stack(parts: list[Embedding]) -> Embedding:
    """Put embeddings one after the other."""
    return Embedding(np.concatenate([p.verts for p in parts]), np.concatenate([p.weights for p in parts]))


def on_surface(points: np.ndarray, verts: np.ndarray, faces: np.ndarray) -> Embedding:
    """Embed points (N, 3) at the nearest place of the surface."""
    neighbours = cKDTree(verts[faces].mean(1)).query(points, k=min(40, len(faces)))[1]
    out_verts = np.zeros((len(points), 6), np.int32)
    out_weights = np.zeros((len(points), 6))
    for n, (point, candidates) in enumerate(zip(points, neighbours, strict=True)):
        bary = nearest_barycentrics(point, verts[faces[candidates]])
        reached = np.einsum("ck,ckx->cx", bary, verts[faces[candidates]])
        best = np.linalg.norm(reached - point, axis=1).argmin()
        out_verts[n] = np.tile(faces[candidates[best]], 2)
        out_weights[n, :3] = bary[best]
    return Embedding(out_verts, out_weights)


def nearest_barycentrics(point: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Barycentrics (C, 3) of the nearest point of each triangle (C, 3, 3)."""
    a, b, c = triangles.transpose(1, 0, 2)
    u, v, w = b - a, c - a, point - a
    uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    wu, wv = (w * u).sum(1), (w * v).sum(1)
    det = np.maximum(uu * vv - uv * uv, 1e-18)
    s, t = (vv * wu - uv * wv) / det, (uu * wv - uv * wu) / det
    inside = np.stack([1 - s - t, s, t], 1)
    options = [inside] + [_on_edge(point, triangles, i, (i + 1) % 3) for i in range(3)]
    distance = np.stack([np.linalg.norm(np.einsum("ck,ckx->cx", o, triangles) - point, axis=1) for o in options])
    distance[0, (inside < 0).any(1)] = np.inf
    return np.stack(options)[distance.argmin(0), np.arange(len(triangles))]


def _on_edge(point: np.ndarray, triangles: np.ndarray, i: int, j: int) -> np.ndarray:
    start, edge = triangles[:, i], triangles[:, j] - triangles[:, i]
    along = ((point - start) * edge).sum(1) / np.maximum((edge * edge).sum(1), 1e-18)
    bary = np.zeros((len(triangles), 3))
    bary[:, j] = along.clip(0, 1)
    bary[:, i] = 1 - bary[:, j]
    return bary


def inside(points: np.ndarray, directions: np.ndarray, verts: np.ndarray, faces: np.ndarray) -> Embedding:
    """Embed inner points (N, 3) between the surface hit along a direction (N, 3) and the one opposite to it."""
    out_verts = np.zeros((len(points), 6), np.int32)
    out_weights = np.zeros((len(points), 6))
    for n, (point, direction) in enumerate(zip(points, directions, strict=True)):
        direction = direction / np.linalg.norm(direction)
        (face_a, bary_a, far_a), (face_b, bary_b, far_b) = (
            first_hit(point, sign * direction, verts, faces) for sign in (1, -1)
        )
        out_verts[n] = np.concatenate([faces[face_a], faces[face_b]])
        out_weights[n] = np.concatenate([bary_a * far_b, bary_b * far_a]) / (far_a + far_b)
    return Embedding(out_verts, out_weights)


def first_hit(origin: np.ndarray, direction: np.ndarray, verts: np.ndarray, faces: np.ndarray):
    """Return (face, barycentrics (3,), distance) of the first face that a ray meets."""
    a, b, c = verts[faces].transpose(1, 0, 2)
    edge1, edge2 = b - a, c - a
    p = np.cross(direction, edge2)
    det = (edge1 * p).sum(1)
    scale = np.where(np.abs(det) < 1e-15, np.inf, det)
    s = ((origin - a) * p).sum(1) / scale
    q = np.cross(origin - a, edge1)
    t = (q @ direction) / scale
    distance = (edge2 * q).sum(1) / scale
    hit = (s >= 0) & (t >= 0) & (s + t <= 1) & (distance > 1e-6) & np.isfinite(scale)
    if not hit.any():
        raise ValueError(f"a ray from {origin} towards {direction} leaves the body without meeting it")
    face = np.where(hit, distance, np.inf).argmin()
    return face, np.array([1 - s[face] - t[face], s[face], t[face]]), distance[face]
