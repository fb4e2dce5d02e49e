"""What is behind a person in a still, as a floor and a wall that other cameras see."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

STANDS_STILL = 1e-4
"""A camera that moved less than this share of the wall's distance only turned or zoomed."""

NEAREST = 0.02
"""The floor is shown from this share of the wall's distance on, as the still's camera has it."""
SAMPLED = 500
"""Pixels that say how much a plane is enlarged."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Surroundings:
    """A picture without its person, spread over a wall that faces its camera and over the floor before the wall."""

    plate: np.ndarray
    """(H, W, 3) float32 RGB."""
    K: np.ndarray
    """(3, 3) of the camera that took it [px]."""
    w2c: np.ndarray
    """(4, 4)."""
    wall: float
    """Distance of the wall from that camera [m]."""
    floor: float | None = None
    """Height of the floor, world axes with y up [m]; None where nobody knows it, and all is wall."""

    def see(self, K: np.ndarray, w2c: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return what another camera sees (H, W, 3) float32; what the picture does not show mirrors what it does.

        Args:
            K: (3, 3) [px].
            w2c: (4, 4).
            size: width and height of the picture [px].
        """
        ahead, rays = np.array([0.0, 0.0, 1.0]), _pixels(size)
        to_wall = plane_motion(self.K, self.w2c, K, w2c, ahead, self.wall)
        move = np.asarray(w2c, np.float64) @ np.linalg.inv(np.asarray(self.w2c, np.float64))
        centre = -move[:3, :3].T @ move[:3, 3]
        up = np.asarray(self.w2c, np.float64)[:3, 1]
        level = 0.0 if self.floor is None else self.floor + up @ np.asarray(self.w2c, np.float64)[:3, 3]
        if np.linalg.norm(centre) < STANDS_STILL * self.wall or level >= 0 or up @ centre <= level:
            # Without parallax every plane moves alike; and no camera is under the floor.
            return self._warp(to_wall, size, rays)
        directions = rays @ np.linalg.inv(np.asarray(K, np.float64)).T @ move[:3, :3]
        with np.errstate(divide="ignore", invalid="ignore"):
            floor, wall = (level - up @ centre) / (directions @ up), (self.wall - centre[2]) / directions[..., 2]
        on_floor = (floor > 0) & ((floor < wall) | (wall < 0))
        on_floor &= centre[2] + floor * directions[..., 2] > NEAREST * self.wall  # nothing of what was behind the still
        if not on_floor.any():
            return self._warp(to_wall, size, rays)
        to_floor = plane_motion(self.K, self.w2c, K, w2c, up, level)
        below = self._warp(to_floor, size, rays[on_floor])
        if on_floor.all():
            return below
        share = cv2.GaussianBlur(on_floor.astype(np.float32), (0, 0), 1.0)[..., None]
        above = self._warp(to_wall, size, rays[~on_floor])
        return above + share * (below - above)

    def _warp(self, warp: np.ndarray, size: tuple[int, int], shown: np.ndarray) -> np.ndarray:
        """Show the picture, whose pixels a homography (3, 3) moves, for the sake of some pixels (…, 3): x, y, 1."""
        plate, zoom = self.plate, _zoom(warp, shown)
        if zoom < 1:
            plate = cv2.GaussianBlur(plate, (0, 0), 0.4 / zoom)
        # Pixel centres are at half integers here and at integers in cv2.
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        warp = np.linalg.inv(half) @ warp @ half
        return cv2.warpPerspective(plate, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def plane_motion(K0, w2c0, K1, w2c1, normal: np.ndarray, offset: float) -> np.ndarray:
    """Return the homography (3, 3) between two cameras' pixels of a plane.

    It is K₁ (R + t nᵀ / d) K₀⁻¹ with the plane nᵀx = d in the first camera's axes (Hartley and Zisserman
    2004, ch. 13): a change of K zooms about the principal point, a step towards a wall makes it grow.

    Args:
        K0, K1: (3, 3) [px].
        w2c0, w2c1: (4, 4).
        normal: n (3,), unit.
        offset: d [m].
    """
    move = np.asarray(w2c1, np.float64) @ np.linalg.inv(np.asarray(w2c0, np.float64))
    plane = move[:3, :3] + np.outer(move[:3, 3], normal) / offset
    return np.asarray(K1, np.float64) @ plane @ np.linalg.inv(np.asarray(K0, np.float64))


def _zoom(warp: np.ndarray, shown: np.ndarray) -> float:
    """Return how much a homography (3, 3) enlarges, the median over pixels (…, 3) of its result.

    Areas change by |det| / |w|³, with w the third coordinate of what is mapped.
    """
    back = np.linalg.inv(warp)
    w = np.abs(shown.reshape(-1, 3)[:: max(1, shown.size // (3 * SAMPLED))] @ back[2])
    return float(np.median(w.clip(1e-9) ** 1.5) / np.sqrt(abs(np.linalg.det(back))))


@functools.lru_cache(maxsize=2)
def _pixels(size: tuple[int, int]) -> np.ndarray:
    """Return the pixels' centres (H, W, 3): x, y, 1; not to be written to."""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    return np.stack([x, y, np.ones_like(x)], -1)
