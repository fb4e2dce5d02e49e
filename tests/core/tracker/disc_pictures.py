"""Pictures of coloured discs that planted networks find, and what the estimators' tests measure with."""

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

SIZE = (640, 480)
FOCAL = 700.0
RADIUS = 8


def picture(discs: dict[tuple[int, int, int], tuple[float, float]], size=SIZE, radius=RADIUS) -> np.ndarray:
    """Discs of a colour at sub-pixel places (x, y) [px] on grey."""
    image = np.full((size[1], size[0], 3), 60, np.uint8)
    for colour, at in discs.items():
        where = tuple(round((v - 0.5) * 16) for v in at)  # OpenCV counts from the centre of the first pixel
        cv2.circle(image, where, radius * 16, colour, -1, cv2.LINE_AA, 4)
    return image


def degrees(a: np.ndarray, b: np.ndarray) -> float:
    """Largest angle [degrees] between rotations (..., 3, 3)."""
    return np.degrees((Rotation.from_matrix(a).inv() * Rotation.from_matrix(b)).magnitude()).max()
