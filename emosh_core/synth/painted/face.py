"""What is painted on a face from the front: lips, brows, lids, the shadow of a beard."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from emosh_core.body.ehm import EhmModel
from emosh_core.render.colors import mean_in_t_pose
from emosh_core.render.picture import sample

DENSITY = 3000
"""Pixels per metre of the frontal picture."""
LEFT, TOP, WIDTH, HEIGHT = -0.085, 0.70, 0.17, 0.22
"""The part of the frontal plane that it shows [m]."""
FRACTION = 4
"""Bits after the point in coordinates handed to cv2."""
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
BROWS = {
    "R": ((70, 63, 105, 66, 107), (46, 53, 52, 65, 55)),
    "L": ((300, 293, 334, 296, 336), (276, 283, 282, 295, 285)),
}
"""Upper and lower edges from the temple to the nose; these and all numbers here are MediaPipe's face landmarks."""
LIDS = {
    "R": ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    "L": ((263, 466, 388, 387, 386, 385, 384, 398, 362), (263, 249, 390, 373, 374, 380, 381, 382, 362)),
}
"""Upper and lower edges from the temple to the nose."""
HAIRS = 150
"""Strokes in a brow."""


@dataclass(frozen=True, eq=False)
class Frontal:
    """Maps over the frontal plane, each (h, w) float32 in 0..1."""

    lips: np.ndarray
    """1 on the lips, soft at their border."""
    part: np.ndarray
    """The line where the lips meet."""
    brows: np.ndarray
    lids: np.ndarray
    """Dark lines along the upper lids, fainter ones along the lower."""
    shadow: np.ndarray
    """The lid's fold and the hollow of the eye."""
    beard: np.ndarray
    """Where a beard grows on the front of a face."""

    def at(self, name: str, places: np.ndarray) -> np.ndarray:
        """Look one map up at places (N, 3) on the mean body in the T-pose [m]; 0 outside."""
        return sample(getattr(self, name)[..., None], _to_pixels(places))[:, 0]


def landmarks(body: EhmModel) -> np.ndarray:
    """Return MediaPipe's face landmarks (478, 3) on the mean body in the T-pose [m]."""
    return mean_in_t_pose(body).landmarks("face")[0].cpu().numpy()


def draw_frontal(body: EhmModel, rng: np.random.Generator, thickness: float, arch: float) -> Frontal:
    """Draw the maps of one person.

    Args:
        rng: places the strokes of the brows.
        thickness: of the brows, 1 is common.
        arch: how far the brows rise [m].
    """
    fixed = _fixed(body)
    return Frontal(brows=_brows(landmarks(body), rng, thickness, arch), **fixed)


@functools.lru_cache(maxsize=2)
def _fixed(body: EhmModel) -> dict[str, np.ndarray]:
    """Return the maps that are the same for everybody."""
    points = landmarks(body)
    lips = _blur(_fill(points[list(OUTER_LIPS)]), 0.0008)
    part = _blur(_line(points[list(INNER_UPPER)], 0.0011), 0.0005)
    lids, hollow = np.zeros_like(lips), np.zeros_like(lips)
    for upper, lower in LIDS.values():
        above, below = points[list(upper)], points[list(lower)]
        lids = np.maximum(lids, _blur(_line(_up(above, 0.0006), 0.0016), 0.0004))
        lids = np.maximum(lids, 0.45 * _blur(_line(below - [0, 0.0004, 0], 0.0008), 0.0004))
        fold = _up(above, 0.0055)
        hollow = np.maximum(hollow, 0.8 * _blur(_line(fold[1:], 0.0012), 0.0006))
        hollow = np.maximum(hollow, 0.5 * _blur(_fill(np.concatenate([_up(above, 0.005), below[::-1]])), 0.004))
    return {"lips": lips, "part": part, "lids": lids, "shadow": hollow, "beard": _beard(points, lips)}


def _up(places: np.ndarray, height: float) -> np.ndarray:
    return places + np.array([0, height, 0])


def _beard(points: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Cheeks below a line from ear to mouth corner, the upper lip, the chin; not the lips."""
    jaw = points[[234, 58, 172, 136, 150, 176, 148, 152, 377, 400, 379, 365, 397, 288, 454]]
    jaw = jaw * [1.3, 1, 1] - [0, 0.03, 0]
    left, right = points[[454, 411, 410]] * [1.1, 1, 1], points[[186, 187, 234]] * [1.1, 1, 1]
    nose = _up(points[[391, 327, 2, 98, 165]], -0.002)
    outline = np.concatenate([jaw, left[:1], _up(left[1:2], -0.018), left[2:], nose, right[:1],
                              _up(right[1:2], -0.018), right[2:]])  # fmt: skip
    return _blur(_fill(outline), 0.006) * (1 - lips)


def _brows(points: np.ndarray, rng: np.random.Generator, thickness: float, arch: float) -> np.ndarray:
    """Draw hairs: from the lower edge upwards, more and more towards the temple."""
    image = _blank()
    for upper, lower in BROWS.values():
        top, bottom = points[list(upper)], points[list(lower)]
        along = np.sort(rng.random(HAIRS))
        edge = lambda line: np.stack([np.interp(along, np.linspace(0, 1, 5), line[:, i]) for i in (0, 1)], 1)  # noqa: E731,B023
        above, below = edge(top), edge(bottom)
        middle, half = (above + below) / 2, (above - below) / 2 * thickness
        # Thin at the temple, full over the eye, soft at the nose.
        full = np.interp(along, [0, 0.35, 0.85, 1], [0.25, 0.8, 1, 0.75])
        root = middle + half * (full * rng.uniform(-1, 0.7, HAIRS))[:, None]
        root[:, 1] += arch * np.sin(np.pi * along)
        outward = np.sign(top[0, 0])
        lean = np.interp(along, [0, 0.7, 1], [0.1, 0.5, 1.3]) + rng.normal(0, 0.12, HAIRS)
        length = rng.uniform(0.004, 0.008, HAIRS) * np.interp(along, [0, 1], [0.8, 1])
        tip = root + np.stack([outward * np.cos(lean), np.sin(lean)], 1) * length[:, None]
        for start, end in zip(_fixed_point(root), _fixed_point(tip), strict=True):
            cv2.line(image, start, end, 255, 1, cv2.LINE_AA, FRACTION)
    strokes = image.astype(np.float32) / 255
    return np.maximum(0.9 * _blur(strokes, 0.0003), 0.75 * _blur(strokes, 0.0016)).clip(0, 1)


def _blank() -> np.ndarray:
    return np.zeros((round(HEIGHT * DENSITY), round(WIDTH * DENSITY)), np.uint8)


def _to_pixels(places: np.ndarray) -> np.ndarray:
    return (np.stack([places[..., 0] - LEFT, TOP - places[..., 1]], -1) * DENSITY).astype(np.float32)


def _fixed_point(places: np.ndarray) -> np.ndarray:
    return np.round((_to_pixels(places) - 0.5) * 2**FRACTION).astype(np.int32)


def _fill(outline: np.ndarray) -> np.ndarray:
    image = _blank()
    cv2.fillPoly(image, [_fixed_point(outline)], 255, cv2.LINE_AA, FRACTION)
    return image.astype(np.float32) / 255


def _line(points: np.ndarray, width: float) -> np.ndarray:
    image = _blank()
    cv2.polylines(image, [_fixed_point(points)], False, 255, max(1, round(width * DENSITY)), cv2.LINE_AA, FRACTION)
    return image.astype(np.float32) / 255


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma * DENSITY)
