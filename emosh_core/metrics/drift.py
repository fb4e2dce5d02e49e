"""How far the colours of later chunks have drifted from those of the first one: CIEDE2000."""

from collections.abc import Iterable
from typing import Any

import numpy as np

SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to CIE XYZ under D65 (IEC 61966-2-1)."""
LEVELS = np.arange(256) / 255
LINEAR = np.where(LEVELS <= 0.04045, LEVELS / 12.92, ((LEVELS + 0.055) / 1.055) ** 2.4)
"""Light that each 8-bit value stands for."""
PARTS = ("background", "person")
SIDE = 256
"""Of pictures whose shorter side is n times as long, every n-th pixel of every n-th row is looked at [px]."""


def chunk_drift(
    frames: Iterable[np.ndarray], masks: Iterable[np.ndarray], windows: np.ndarray, progress=lambda done, total: None
) -> list[dict[str, Any]]:
    """Compare each chunk's mean colours with the first chunk's, background and person apart.

    The mean is one of light, over all pixels and frames that the chunk delivered; what comes into the picture or
    leaves it counts as well as what changes its colour.

    Args:
        frames: T pictures (H, W, 3) uint8 RGB.
        masks: (H, W) bool for each, where the fitted body is; hair and loose clothes outside it count as background.
        windows: (K, 2) start and stop of each chunk; frames that two share are the earlier one's.
        progress: called with (frames seen, frames there may be).

    Returns:
        For each chunk `frames` [start, stop), and ΔE00 by part; None where the part is in neither or one of the two.
    """
    stops = [int(stop) for stop in windows[:, 1]]
    light, pixels, last = np.zeros((len(stops), 2, 3)), np.zeros((len(stops), 2)), 0
    for t, (frame, mask) in enumerate(zip(frames, masks)):
        chunk = min(int(np.searchsorted(stops, t, side="right")), len(stops) - 1)
        last, step = t + 1, max(1, min(mask.shape) // SIDE)
        frame, mask = frame[::step, ::step], mask[::step, ::step]
        for part, inside in enumerate((~mask, mask)):
            light[chunk, part] += LINEAR[frame[inside]].sum(0)
            pixels[chunk, part] += inside.sum()
        progress(last, max(stops[-1], last))
    colours = lab(light / np.maximum(pixels, 1)[..., None])
    seen = (pixels > 0) & (pixels[0] > 0)
    differences = np.where(seen, ciede2000(colours, colours[0]), np.nan)
    starts = [0, *stops[:-1]]
    return [
        {"frames": [start, min(stop, last)]}
        | {part: float(value) if np.isfinite(value) else None for part, value in zip(PARTS, row)}
        for start, stop, row in zip(starts, stops, differences)
    ]


def lab(light: np.ndarray) -> np.ndarray:
    """Return CIELAB (…, 3) under D65 of linear sRGB (…, 3) in 0..1."""
    relative = light @ SRGB_TO_XYZ.T / SRGB_TO_XYZ.sum(1)
    root = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def ciede2000(lab1: np.ndarray, lab2: np.ndarray) -> np.ndarray:
    """Return the colour difference ΔE00 of CIELAB colours (…, 3), after Sharma, Wu and Dalal (2005)."""
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(np.asarray(value, float), -1, 0) for value in (lab1, lab2))
    half = 0.5 * (1 - _saturation((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2))
    a1, a2 = a1 * (1 + half), a2 * (1 + half)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    grey = c1 * c2 == 0
    turn = np.where(grey, 0, (h2 - h1 + 180) % 360 - 180)
    turn = np.where(~grey & (h2 - h1 == 180), 180, turn)
    hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    h = np.where(np.abs(h1 - h2) <= 180, (h1 + h2) / 2, (h1 + h2 + np.where(h1 + h2 < 360, 360, -360)) / 2)
    h = np.where(grey, h1 + h2, h)
    cos = lambda degrees: np.cos(np.radians(degrees))  # noqa: E731
    weight = 1 - 0.17 * cos(h - 30) + 0.24 * cos(2 * h) + 0.32 * cos(3 * h + 6) - 0.20 * cos(4 * h - 63)
    off = (lightness - 50) ** 2
    along_l = (l2 - l1) / (1 + 0.015 * off / np.sqrt(20 + off))
    along_c = (c2 - c1) / (1 + 0.045 * chroma)
    along_h = hue / (1 + 0.015 * chroma * weight)
    rotation = -2 * _saturation(chroma) * np.sin(np.radians(60 * np.exp(-(((h - 275) / 25) ** 2))))
    return np.sqrt(along_l**2 + along_c**2 + along_h**2 + rotation * along_c * along_h)


def _saturation(chroma: np.ndarray) -> np.ndarray:
    return np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
