"""Perspective projection; works on torch tensors and numpy arrays alike.

Camera axes are OpenCV's (x right, y down, z forward); the centre of the top-left pixel is (0.5, 0.5).
"""

import math

import numpy as np

CAMERA_AT_ORIGIN = np.diag([1.0, -1.0, -1.0, 1.0]).astype(np.float32)
"""`w2c` of a camera at the world's origin looking along −z, upright: the tracker's fixed camera."""


def to_camera(points, w2c):
    """Move world points (..., N, 3) [m] into the axes of a camera `w2c` (..., 4, 4)."""
    return points @ w2c[..., :3, :3].swapaxes(-1, -2) + w2c[..., None, :3, 3]


def project(points, K):
    """Project camera-space points (..., N, 3) [m] to pixels (..., N, 2) by intrinsics K (..., 3, 3) [px].

    Points on or behind the camera plane (z ≤ 1 mm) are projected as if they lay 1 mm in front of it,
    so that an optimiser sees a large finite value and not an infinity.
    """
    z = points[..., 2:3].clip(min=1e-3)
    focal = K[..., None, [0, 1], [0, 1]]
    return points[..., :2] / z * focal + K[..., None, :2, 2]


def default_intrinsics(width: int, height: int, focal: float | None = None) -> np.ndarray:
    """Return K (3, 3) [px] with the principal point in the middle.

    Without a focal length it is the image diagonal (a 53° diagonal field of view), the guess that
    GVHMR and CLIFF use when nothing is known.
    """
    f = focal or math.hypot(width, height)
    return np.array([[f, 0, width / 2], [0, f, height / 2], [0, 0, 1]], np.float32)


def fit_intrinsics(K, size: tuple[int, int], new_size: tuple[int, int]) -> np.ndarray:
    """Return K (*B, 3, 3) [px] for a picture of another size in which the whole old picture is seen, centred.

    Args:
        K: (*B, 3, 3) intrinsics of the old picture [px].
        size: its width and height [px].
        new_size: width and height of the new picture [px].
    """
    scale = min(new / old for new, old in zip(new_size, size, strict=True))
    shift = [(new - scale * old) / 2 for new, old in zip(new_size, size, strict=True)]
    resize = np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]])
    return (resize @ np.asarray(K, np.float64)).astype(np.float32)


def plane_map(K, w2c, normal: np.ndarray, offset: float, rays: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the homographies (T, 3, 3) from the pixels of other cameras to those of a camera, through a plane.

    The ray C + s r meets nᵀx = d at s = (d − nᵀC) / nᵀr, so that pixel p goes to
    K [(R C + t) nᵀ + (d − nᵀC) R] r with r = `rays` · p (compare Hartley and Zisserman 2004, ch. 13).

    Args:
        K: (3, 3) of the camera that is mapped to [px].
        w2c: (4, 4).
        normal: (3,) of the plane; zero for the plane at infinity.
        offset: the plane is normal · x = offset [m].
        rays, centres: of the other cameras, see `pixel_rays`.
    """
    if not normal.any():
        return K @ w2c[:3, :3] @ rays
    seen = centres @ w2c[:3, :3].T + w2c[:3, 3]
    away = offset - centres @ normal
    return K @ (seen[:, :, None] * normal + away[:, None, None] * w2c[:3, :3]) @ rays * np.sign(away)[:, None, None]


def pixel_rays(K: np.ndarray, w2c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return maps (T, 3, 3) from pixels (x, y, 1) to directions in world axes, and the cameras' centres (T, 3) [m]."""
    back = w2c[:, :3, :3].swapaxes(1, 2)
    return back @ np.linalg.inv(K), -np.einsum("tij,tj->ti", back, w2c[:, :3, 3])
