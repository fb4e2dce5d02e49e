"""Whether two pictures show the same person, by the colours of body parts.

What a person looks like is a row per body part: the mean of its colour (L*, a*, b*) and how far it spreads.
"""

import cv2
import numpy as np

LEAST_PIXELS = 24
"""A part that covers less is not looked at."""


def part_colours(image: np.ndarray, parts: np.ndarray, count: int) -> np.ndarray:
    """Return mean and standard deviation of CIE L*a*b* in each part (count, 6); NaN where a part is too small.

    Args:
        image: (H, W, 3) uint8 RGB.
        parts: (H, W) number of the part that a pixel shows, −1 where it shows none.
        count: number of parts.
    """
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    rows = np.full((count, 6), np.nan)
    for part in range(count):
        pixels = lab[parts == part].astype(np.float64)
        if len(pixels) >= LEAST_PIXELS:
            rows[part] = [*pixels.mean(0), *pixels.std(0)]
    return rows


def look_of(images: list[np.ndarray], parts: list[np.ndarray], count: int) -> np.ndarray:
    """Return the mean of `part_colours` (count, 6) over pictures that show a part; NaN where none does."""
    rows = np.stack([part_colours(image, part, count) for image, part in zip(images, parts, strict=True)])
    known = np.isfinite(rows)
    seen = known.sum(0)
    total = np.where(known, rows, 0).sum(0)
    return np.divide(total, seen, out=np.full(total.shape, np.nan), where=seen > 0)


def look_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return how far apart two looks (P, 6) are [units of L*a*b*], mean over parts known of both; NaN if none is."""
    gaps = np.linalg.norm(one - other, axis=-1)
    gaps = gaps[np.isfinite(gaps)]
    return float(gaps.mean()) if len(gaps) else float("nan")
