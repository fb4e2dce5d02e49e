"""Pictures of the person alone, on green or on nothing."""

from typing import Literal

import cv2
import numpy as np

Background = Literal["keep", "green", "alpha"]
GREEN = (0, 177, 64)
"""Chroma green, RGB."""
EDGE = 0.6
"""Standard deviation of the blur that softens the mask's outline [px]: it spreads over a pixel or two."""


def cut_out(frame: np.ndarray, mask: np.ndarray, background: Background) -> np.ndarray:
    """Return the frame as it is, laid on green (H, W, 3), or with straight alpha (H, W, 4).

    Args:
        frame: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, where the person is.
    """
    if background == "keep":
        return frame
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), EDGE)[..., None]
    if background == "alpha":
        return np.concatenate([frame, np.rint(alpha * 255).astype(np.uint8)], -1)
    return np.rint(frame * alpha + np.float32(GREEN) * (1 - alpha)).astype(np.uint8)
