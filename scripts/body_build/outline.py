"""Place the face landmarks that rays cannot find.

On a face seen from the front MediaPipe puts the points of its outline (temples, near the ears, jaw) on the visible
silhouette, where a ray grazes the skin and a pixel's error is centimetres. But MediaPipe also gives each face in
three dimensions, and there those points lie well: their place follows from that shape and from the other points.
"""

import numpy as np
import roma
import torch
from scipy.interpolate import RBFInterpolator
from scipy.optimize import linear_sum_assignment

TRUSTED = 0.004
"""A landmark whose observations lie farther than this from their median [m] is predicted, not averaged."""
SMOOTHING = 0.01
"""How stiff the thin plate is [m²]; MediaPipe's own shape is a little noisy."""
SKIN = 468
"""The landmarks after these are the irises, which lie on other surfaces."""


def mean_shape(faces: np.ndarray) -> np.ndarray:
    """Return the mean (478, 3) of faces (N, 478, 3) that differ in place, turn and size; it lies like the first."""
    mean = faces[0]
    for _ in range(3):
        mean = np.mean([similar(face, mean, np.ones(len(mean), bool)) for face in faces], 0)
    return mean


def similar(points: np.ndarray, target: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Return points (N, 3) turned, scaled and moved so that the used ones (N,) bool lie best on the target's."""
    turn, shift, scale = (part.numpy() for part in roma.rigid_points_registration(
        torch.as_tensor(points[used]), torch.as_tensor(target[used]), compute_scaling=True))  # fmt: skip
    return scale * points @ turn.T + shift


def complete(points: np.ndarray, spread: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return the face landmarks (478, 3) [m], symmetric, with the untrustworthy ones predicted.

    Args:
        points: (478, 3) where rays met the mean face [m].
        spread: (478,) how far those observations lie apart [m].
        shape: (478, 3) MediaPipe's own mean face, in any place, turn and size.
    """
    fitted = similar(shape, points, spread <= TRUSTED)
    partner = mirror_partners(fitted)
    poor = (spread > TRUSTED) | (spread[partner] > TRUSTED)
    known = np.flatnonzero(~poor[:SKIN])
    warp = RBFInterpolator(fitted[known], points[known] - fitted[known], smoothing=SMOOTHING)
    whole = np.where(poor[:, None], fitted + warp(fitted), points)
    print(f"{poor.sum()} face landmarks predicted from MediaPipe's own shape")
    return (whole + whole[partner] * [-1, 1, 1]) / 2


def mirror_partners(points: np.ndarray) -> np.ndarray:
    """Return which landmark (N,) of a nearly symmetric face (N, 3) each one's mirror image is."""
    reflected = points * [-1, 1, 1]
    cost = np.linalg.norm(points[:, None] - reflected[None], axis=2)
    partner = linear_sum_assignment(cost**2)[1]
    print(f"mirror residual: median {np.median(cost[np.arange(len(points)), partner]) * 1000:.2f} mm")
    return partner
