"""Eyelids as the detector sees them, in terms of how far the person's own eyes open.

A detector's lids are off by a constant that is as large as half a blink, and eyes differ from person to person. What
it does tell is when they are less open than usual.
"""

import numpy as np

LIDS = {
    "left": ((466, 388, 387, 386, 385, 384, 398, 249, 390, 373, 374, 380, 381, 382), (263, 362), (386, 374)),
    "right": ((246, 161, 160, 159, 158, 157, 173, 7, 163, 144, 145, 153, 154, 155), (33, 133), (159, 145)),
}
"""MediaPipe's face points per eye: lids, corners, middle of the upper and the lower lid."""
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
)  # fmt: skip
USUAL = 0.8
"""Quantile of the openness over a clip at which eyes count as open."""
ENOUGH = 20
"""Frames with a face that it takes to know somebody's open eyes."""
STRETCH = (0.6, 1.6)


def openness(points: np.ndarray, side: str) -> np.ndarray:
    """Return the gap between the lids over the width of the eye (T,) of face points (T, 478, D)."""
    _, corners, middle = LIDS[side]
    gap, width = (np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in (middle, corners))
    return gap / np.maximum(width, 1e-6)


def open_as(points: np.ndarray, readable: np.ndarray, usual: dict[str, float]) -> np.ndarray:
    """Stretch lids across the eye so that this person's usual openness becomes the model's.

    Args:
        points: (T, 478, 2) px.
        readable: (T,) bool, frames whose face can be read.
        usual: openness of the model's open eyes, per side.

    Returns:
        (T, 478, 2) px; the same points where too few frames are readable to know.
    """
    if readable.sum() < ENOUGH:
        return points
    moved = points.copy()
    for side, (lids, corners, _) in LIDS.items():
        seen = np.quantile(openness(points[readable], side), USUAL)
        stretch = np.clip(usual[side] / max(seen, 1e-6), *STRETCH)
        start, end = points[:, corners[0], None], points[:, corners[1], None]
        along = (end - start) / np.maximum(np.linalg.norm(end - start, axis=-1, keepdims=True), 1e-6)
        arm = points[:, list(lids)] - start
        across = arm - (arm * along).sum(-1, keepdims=True) * along
        moved[:, list(lids)] += (stretch - 1) * across
    return moved
