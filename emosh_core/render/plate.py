"""The reference's background without the person."""

import cv2
import numpy as np

from emosh_core.render.picture import fill

GROW = 0.012
"""Share of the picture's height by which the person's outline is widened before it is removed."""
TREND_ORDER = 2
"""Order of the polynomial in x and y that the fill continues; details are filled on top of it."""
FLOOR = 0.45
"""Share of the person's height, from the feet up, that a cast shadow may lie beside."""
FLOOR_ORDER = 5
"""Order of the polynomial that tells how bright the floor would be without the shadow."""
SHADOW = 0.985
"""What is darker than this share of the unshadowed floor is shadow."""
PLAIN = 0.02
"""A floor that deviates more than this (median, relative) from a polynomial is too busy to find shadows on."""
SMALL = 160
"""Height of the picture that shadows are looked for in [px]."""


def clean_plate(image: np.ndarray, silhouette: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Remove the person, and the shadow that a standing person casts on a plain floor.

    Args:
        image: (H, W, 3) uint8 RGB.
        silhouette: (H, W) bool, where the fitted mesh lies.
        mask: (H, W) bool, where the person was segmented, if it was.

    Returns:
        (H, W, 3) float32 RGB, 0..255.
    """
    person = silhouette if mask is None else silhouette | mask
    if person.all():
        return np.broadcast_to(image.mean((0, 1)), image.shape).astype(np.float32)
    reach = max(5, round(GROW * image.shape[0]) * 2 + 1)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    hole = cv2.dilate(person.astype(np.uint8), ellipse)
    hole |= cv2.dilate(shadow_of(image, hole > 0).astype(np.uint8), ellipse)
    # What is left between arm and trunk is too little to trust.
    hole = cv2.morphologyEx(hole, cv2.MORPH_CLOSE, ellipse)
    keep = 1 - cv2.GaussianBlur(hole.astype(np.float32), (0, 0), reach / 6)
    keep[hole > 0] = 0
    trend = _trend(image, hole == 0)
    plate = trend + fill(image - trend, keep)
    grain = np.random.default_rng(0).normal(0, 1, (*hole.shape, 1)).astype(np.float32) * _grain(image, hole == 0)
    return (plate + grain * (1 - keep[..., None])).clip(0, 255)


def shadow_of(image: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Find the cast shadow (H, W) bool around the feet of a person (H, W); nothing where feet or floor do not show."""
    height, width = person.shape
    rows = np.nonzero(person.any(1))[0]
    top = rows[-1] - FLOOR * (rows[-1] - rows[0]) if len(rows) else height
    if not len(rows) or rows[-1] >= height - 2 or height - top < 8:
        return np.zeros_like(person)
    size = (max(8, round(width * SMALL / height)), SMALL)
    bright = cv2.resize(image.astype(np.float32).mean(2), size, interpolation=cv2.INTER_AREA)
    bright = cv2.GaussianBlur(np.log(bright + 1), (0, 0), 1.0)
    known = cv2.resize(person.astype(np.float32), size, interpolation=cv2.INTER_AREA) == 0
    floor = np.zeros_like(known)
    floor[round(top * SMALL / height) :] = True
    terms = _monomials(size[1], size[0], FLOOR_ORDER)
    weight = (known & floor).astype(np.float64)
    # Iteratively reweighted: what is darker than the fit is shadow rather than floor and counts little.
    for _ in range(12):
        fit = terms @ _least_squares(terms, bright, weight)
        weight = (known & floor) / (1 + ((fit - bright).clip(0) / 0.01) ** 2)
    deviation = np.abs(bright - fit)[known & floor]
    if len(deviation) < 64 or np.median(deviation) > PLAIN:
        return np.zeros_like(person)
    dark = ((bright - fit < np.log(SHADOW)) & floor & known).astype(np.uint8)
    dark = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    reached = cv2.dilate((~known & floor).astype(np.uint8), np.ones((5, 5), np.uint8))
    _, label = cv2.connectedComponents(dark | reached)
    shadow = np.isin(label, np.unique(label[reached > 0])) & (dark > 0)
    return cv2.resize(shadow.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.25


def _trend(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return a polynomial (H, W, 3) through the known pixels (H, W)."""
    height, width = known.shape
    size = (max(8, round(width * SMALL / height)), SMALL)
    small = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    weight = (cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA) == 1).astype(np.float64)
    terms = _monomials(size[1], size[0], TREND_ORDER)
    weight = weight if weight.sum() > 4 * terms.shape[-1] else np.ones_like(weight)
    fitted = np.stack([terms @ _least_squares(terms, small[..., c], weight) for c in range(3)], -1)
    return cv2.resize(fitted.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)


def _monomials(height: int, width: int, order: int) -> np.ndarray:
    """Return the products (H, W, N) of powers of x and y, both in −1..1, up to an order."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([x**i * y**j for i in range(order + 1) for j in range(order + 1 - i)], -1)


def _least_squares(terms: np.ndarray, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    flat, weight = terms.reshape(-1, terms.shape[-1]), weight.reshape(-1, 1)
    system = flat.T @ (weight * flat) + 1e-3 * np.eye(flat.shape[1])
    return np.linalg.solve(system, flat.T @ (weight[:, 0] * values.reshape(-1)))


def _grain(image: np.ndarray, known: np.ndarray) -> float:
    """Return the standard deviation of the picture's fine noise [0..255], by its median: edges do not count."""
    gray = image.astype(np.float32).mean(2)
    rough = np.abs(gray - cv2.GaussianBlur(gray, (0, 0), 1.0))[known]
    return float(1.4826 * np.median(rough)) if rough.size else 0.0
