"""Operations on plain pictures: bilinear look-up, filling of holes."""

import cv2
import numpy as np

ROW = 1024
"""Look-ups are handed to cv2 in rows of this length: its pictures may not be longer than 32767."""
COARSEST = 2
"""The fill stops halving at pictures this small [px]."""


def sample(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Look up pixels (N, 2) [px] bilinearly in a picture (H, W, C); outside it its rim goes on.

    Returns:
        (N, C) float32.
    """
    rows = -(-len(points) // ROW)
    place = np.zeros((rows * ROW, 2), np.float32)
    place[: len(points)] = points.clip(-1e4, 3e4) - 0.5
    place = place.reshape(rows, ROW, 2)
    source = np.ascontiguousarray(image, np.float32)
    found = cv2.remap(source, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(rows * ROW, -1)[: len(points)]


def fill(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Replace what has no weight by a smooth continuation of what has (pull and push along a pyramid).

    Args:
        image: (H, W, C) float32.
        weight: (H, W) in [0, 1]; 1 keeps a pixel as it is, 0 replaces it.

    Returns:
        (H, W, C) float32.
    """
    weight = weight.astype(np.float32)[..., None]
    if not weight.any():
        return np.broadcast_to(image.mean((0, 1)), image.shape).astype(np.float32)
    return _fill(image, weight)


def _fill(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    height, width = weight.shape[:2]
    if min(height, width) <= COARSEST or float(weight.min()) == 1:
        mean = (image * weight).sum((0, 1)) / weight.sum()
        return image * weight + mean * (1 - weight)
    half = ((width + 1) // 2, (height + 1) // 2)
    coarse_weight = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)[..., None]
    coarse = cv2.resize(image * weight, half, interpolation=cv2.INTER_AREA) / np.maximum(coarse_weight, 1e-6)
    below = _fill(coarse, np.minimum(coarse_weight * 2, 1))
    smooth = cv2.GaussianBlur(cv2.resize(below, (width, height), interpolation=cv2.INTER_LINEAR), (0, 0), 1.0)
    return image * weight + smooth * (1 - weight)
