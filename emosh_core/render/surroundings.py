"""What is behind a person in a still, as a floor and a wall that other cameras see."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from emosh_core.geometry.camera import pixel_rays, plane_map

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
        back, pixels = np.asarray(self.w2c, np.float64), _pixels(size)
        rays, centres = pixel_rays(np.asarray(K, np.float64)[None], np.asarray(w2c, np.float64)[None])
        centre, ahead = centres[0], back[2, :3]
        own = -back[:3, :3].T @ back[:3, 3]
        from_wall = plane_map(self.K, back, ahead, ahead @ own + self.wall, rays, centres)[0]
        moves = np.linalg.norm(centre - own) > STANDS_STILL * self.wall  # else every plane looks alike
        if self.floor is None or not moves or min(own[1], centre[1]) <= self.floor:
            return self._warp(from_wall, size, pixels)
        directions = pixels @ rays[0].T
        with np.errstate(divide="ignore", invalid="ignore"):
            to_floor = (self.floor - centre[1]) / directions[..., 1]
            to_wall = (self.wall - ahead @ (centre - own)) / (directions @ ahead)
        on_floor = (to_floor > 0) & ((to_floor < to_wall) | (to_wall < 0))
        # Nothing is known of what lay behind the still's camera.
        on_floor &= ahead @ (centre - own) + to_floor * (directions @ ahead) > NEAREST * self.wall
        if not on_floor.any():
            return self._warp(from_wall, size, pixels)
        from_floor = plane_map(self.K, back, np.array([0.0, 1, 0]), self.floor, rays, centres)[0]
        below = self._warp(from_floor, size, pixels[on_floor])
        if on_floor.all():
            return below
        share = cv2.GaussianBlur(on_floor.astype(np.float32), (0, 0), 1.0)[..., None]
        above = self._warp(from_wall, size, pixels[~on_floor])
        return above + share * (below - above)

    def _warp(self, back: np.ndarray, size: tuple[int, int], shown: np.ndarray) -> np.ndarray:
        """Look up each pixel where a homography (3, 3) says, with a blur that suits some of them (…, 3): x, y, 1."""
        plate, zoom = self.plate, _zoom(back, shown)
        if zoom < 1:
            plate = cv2.GaussianBlur(plate, (0, 0), 0.4 / zoom)
        # Pixel centres are at half integers here and at integers in cv2.
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(plate, np.linalg.inv(half) @ back @ half, size, flags=flags,
                                   borderMode=cv2.BORDER_REFLECT)  # fmt: skip


def _zoom(back: np.ndarray, shown: np.ndarray) -> float:
    """Return how much a picture is enlarged that is looked up by a homography (3, 3), the median over pixels (…, 3).

    Areas change by |det| / |w|³, with w the third coordinate of what is mapped.
    """
    w = np.abs(shown.reshape(-1, 3)[:: max(1, shown.size // (3 * SAMPLED))] @ back[2])
    return float(np.median(w.clip(1e-9) ** 1.5) / np.sqrt(abs(np.linalg.det(back))))


@functools.lru_cache(maxsize=2)
def _pixels(size: tuple[int, int]) -> np.ndarray:
    """Return the pixels' centres (H, W, 3): x, y, 1; not to be written to."""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    return np.stack([x, y, np.ones_like(x)], -1)
