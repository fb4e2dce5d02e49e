"""Sparse face and hand keypoints, drawn as coloured lines with subpixel accuracy."""

import cv2
import numpy as np

from emosh_core.artifacts import KEYPOINTS, keypoint_slice

EYE_LEFT = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263)
EYE_RIGHT = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33)
LIPS_OUTER = (0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146, 61, 185, 40, 39, 37, 0)
LIPS_INNER = (13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95, 78, 191, 80, 81, 82, 13)
CONTOUR = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10,
)  # fmt: skip
BROW_LEFT, BROW_RIGHT = (276, 283, 282, 295, 285), (46, 53, 52, 65, 55)
IRIS_LEFT, IRIS_RIGHT = (474, 475, 476, 477, 474), (469, 470, 471, 472, 469)

FACE_LINES = (
    (CONTOUR, (255, 255, 255)),
    (BROW_LEFT, (255, 160, 0)),
    (BROW_RIGHT, (255, 220, 0)),
    (EYE_LEFT, (0, 255, 255)),
    (EYE_RIGHT, (0, 255, 140)),
    (LIPS_OUTER, (255, 0, 90)),
    (LIPS_INNER, (255, 90, 255)),
    (IRIS_LEFT, (60, 120, 255)),
    (IRIS_RIGHT, (150, 60, 255)),
)
"""Chains of MediaPipe's 478 face points, with colours (RGB)."""

FINGER_COLORS = ((255, 60, 60), (255, 190, 0), (90, 255, 60), (0, 190, 255), (190, 90, 255))
HAND_LINES = tuple(
    ((0, 4 * finger + 1, 4 * finger + 2, 4 * finger + 3, 4 * finger + 4), color)
    for finger, color in enumerate(FINGER_COLORS)
)
"""Thumb to little finger, from the wrist to the tip."""

DEPTH_TOLERANCE = {"face": 0.02, "left_hand": 0.03, "right_hand": 0.03}
"""How far a point may lie behind the visible surface and still be drawn [m]; hand joints lie inside the hand."""
SUBPIXEL_BITS = 6


def visible_keypoints(points: np.ndarray, distance: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Say which points (N, 2) [px] at a `distance` (N,) [m] the mesh of a depth picture (H, W) [m] does not hide.

    Only face and hand points are drawn, so body points are never visible; nor is what lies off the picture.
    """
    height, width = depth.shape
    column, row = np.floor(points.clip(-1e6, 1e6)).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (distance > 0)
    surface = depth[row.clip(0, height - 1), column.clip(0, width - 1)]
    tolerance = np.full(len(points), np.nan)
    for part, value in DEPTH_TOLERANCE.items():
        tolerance[keypoint_slice(part)] = value
    return inside & (distance - tolerance <= surface)  # NaN compares false


def draw_keypoints(image: np.ndarray, points: np.ndarray, drawn: np.ndarray) -> None:
    """Draw face and finger lines onto a picture, in place; a line needs both its ends.

    Args:
        image: (H, W, 3) uint8 RGB.
        points: (N, 2) [px], all parts of `artifacts.KEYPOINTS`.
        drawn: (N,) bool.
    """
    thickness = max(1, round(min(image.shape[:2]) / 400))
    # cv2 counts from the centre of the top-left pixel and takes fixed-point integers.
    fixed = np.rint((points.clip(-1e4, 1e4) - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    for part in KEYPOINTS:
        first = keypoint_slice(part).start
        for chain, color in lines_of(part):
            rows = first + np.asarray(chain)
            pairs = np.stack([rows[:-1], rows[1:]], 1)
            segments = fixed[pairs[drawn[pairs].all(1)]]
            cv2.polylines(image, list(segments), False, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def lines_of(part: str) -> tuple:
    """Return the chains of a part of `artifacts.KEYPOINTS` with their colours; () where none is drawn."""
    if part == "face":
        return FACE_LINES
    return HAND_LINES if part.endswith("hand") else ()
