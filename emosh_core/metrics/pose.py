"""How far a tracked body is from the true one. Joints (T, J, 3) [m] of both in the same axes; NaN where unknown."""

import numpy as np


def root_aligned(joints: np.ndarray, truth: np.ndarray, root: int = 0) -> np.ndarray:
    """Return distances (T, J) [m] after both roots were put on one place (MPJPE is their mean)."""
    gap = (joints - joints[:, root, None]) - (truth - truth[:, root, None])
    return np.linalg.norm(gap, axis=-1)


def procrustes_aligned(joints: np.ndarray, truth: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """Return distances (T, J) [m] after the similarity that brings each frame closest to the truth (PA-MPJPE).

    Rotation, scale and place by Umeyama (1991), least squares over the joints that are seen.

    Args:
        seen: (T, J) bool; all by default. Frames with fewer than 3 joints are NaN.
    """
    weight = np.ones(joints.shape[:2]) if seen is None else seen.astype(float)
    count = weight.sum(1)
    weight = weight / np.maximum(count, 1)[:, None]
    middle, true_middle = ((weight[..., None] * points).sum(1, keepdims=True) for points in (joints, truth))
    here, there = joints - middle, truth - true_middle
    u, scale, vt = np.linalg.svd(np.einsum("tj,tja,tjb->tab", weight, there, here))
    flip = np.ones((len(joints), 3))
    flip[:, 2] = np.linalg.det(u @ vt)
    rotation = u * flip[:, None] @ vt
    size = (scale * flip).sum(1) / np.maximum((weight[..., None] * here**2).sum((1, 2)), 1e-12)
    moved = size[:, None, None] * here @ rotation.swapaxes(1, 2)
    distance = np.linalg.norm(moved - there, axis=-1)
    distance[count < 3] = np.nan
    return distance


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Pearson's correlation of two courses (N,); NaN if one of them never changes."""
    if len(one) < 3 or one.std() < 1e-9 or other.std() < 1e-9:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def amplitude(joints: np.ndarray, truth: np.ndarray, wanted: list[int]) -> float:
    """Return how far the truth's fastest of some joints travels in `joints` over how far it really does.

    Ranges of (T, J, 3) [m] are taken about the first joint, the root, along the direction in which the true joint
    moves most; NaN if no joint is wanted.
    """
    if not wanted:
        return float("nan")
    about, true_about = (points[:, wanted] - points[:, :1] for points in (joints, truth))
    fastest = int(np.linalg.norm(np.diff(true_about, axis=0), axis=-1).mean(0).argmax())
    course, true_course = about[:, fastest], true_about[:, fastest]
    axis = np.linalg.svd(true_course - true_course.mean(0), full_matrices=False)[2][0]
    return float(np.ptp(course @ axis) / max(np.ptp(true_course @ axis), 1e-9))
