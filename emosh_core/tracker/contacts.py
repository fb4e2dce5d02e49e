"""What rests and what touches, from detections alone: planted feet, and hands that hold each other.

A foot that stays on its pixels for a while is planted, if the camera stands still; a camera that follows somebody
moves every foot and so plants none.
"""

import numpy as np
from scipy.ndimage import median_filter

from emosh_core.artifacts import keypoint_slice
from emosh_core.geometry.spans import held
from emosh_core.tracker.detectors import Detections

SOLES = {"left": (29, 31), "right": (30, 32)}
"""Body points heel and toe."""
SLOW = (0.12, 0.25)
"""Speed below which a sole begins to rest and up to which it goes on, in body heights per second."""
SEEN = 0.5
SMOOTHED = 0.17
"""[s] over which positions are median-filtered before speeds are taken."""
NEAR, NEAR_DEPTH = (0.12, 0.25), 0.15
"""Gap in the picture at which hands begin to touch and up to which they go on, in hand sizes; and in depth [m]."""


def planted(seen: Detections, fps: float, time: np.ndarray, height: float) -> np.ndarray:
    """Return where the four points of SOLES rest (T, 4) bool: left heel, left toe, right heel, right toe.

    Args:
        height: of the standing person in the picture [px].
    """
    if len(time) < 2:
        return np.zeros((len(time), 4), bool)  # whether somebody stands still takes two frames to tell
    flags = []
    length = max(round(SMOOTHED * fps) | 1, 3)
    for marks in SOLES.values():
        for mark in marks:
            points = median_filter(seen.keypoints2d[:, mark], (length, 1), mode="nearest")
            speed = np.linalg.norm(np.gradient(points, axis=0), axis=-1) * fps / max(height, 1.0)
            sure = seen.confidence[:, mark] > SEEN
            flags.append(held(sure & (speed < SLOW[0]), sure & (speed < SLOW[1]), time))
    return np.stack(flags, -1)


def hands_touch(
    seen: Detections, left: np.ndarray, right: np.ndarray, time: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find hands that touch each other.

    Args:
        left, right: (T,) bool, hands that can be read.

    Returns:
        Where (T,) bool, and which point of the left and of the right hand (T, 2) int are nearest.
    """
    one, other = (seen.keypoints2d[:, keypoint_slice(f"{side}_hand")] for side in ("left", "right"))
    gap = np.linalg.norm(one[:, :, None] - other[:, None], axis=-1).reshape(len(one), -1)
    nearest = np.stack(np.unravel_index(gap.argmin(1), (one.shape[1], other.shape[1])), -1)
    size = np.maximum(*(np.linalg.norm(np.ptp(points, axis=1), axis=-1) for points in (one, other)))
    gap = gap.min(1) / np.maximum(size, 1e-6)
    # The 3-D skeleton knows hands that only cross in the picture from hands that touch.
    beside = left & right & (np.abs(seen.body3d[:, 15, 2] - seen.body3d[:, 16, 2]) < NEAR_DEPTH)
    return held(beside & (gap < NEAR[0]), beside & (gap < NEAR[1]), time), nearest
