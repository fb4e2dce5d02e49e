"""Sparse face and hand keypoints as strokes: which points are joined, in which colour, and which are seen."""

import functools
from itertools import pairwise

import numpy as np
import torch
from emosh_kernels.strokes import Strokes
from torch import Tensor

from emosh_core.artifacts import KEYPOINTS, Motion, keypoint_slice

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
PUPIL_LEFT, PUPIL_RIGHT = (473, 473), (468, 468)

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
    (PUPIL_LEFT, (60, 120, 255)),
    (PUPIL_RIGHT, (150, 60, 255)),
)
"""Chains of MediaPipe's 478 face points, with colours (RGB)."""

FINGER_COLORS = ((255, 60, 60), (255, 190, 0), (90, 255, 60), (0, 190, 255), (190, 90, 255))
HAND_LINES = tuple(
    ((0, 4 * finger + 1, 4 * finger + 2, 4 * finger + 3, 4 * finger + 4), color)
    for finger, color in enumerate(FINGER_COLORS)
)
"""Thumb to little finger, from the wrist to the tip."""

DEPTH_TOLERANCE = {"face": 0.01, "left_hand": 0.03, "right_hand": 0.03}
"""How far a point may lie behind the visible surface and still be drawn [m]; hand joints lie inside the hand."""
LINE_WIDTH = {"face": 0.0035, "left_hand": 0.005, "right_hand": 0.005}
"""Width of the lines on the body [m]: they grow with the picture and with the person in it."""


def lines_of(part: str) -> tuple:
    """Return the chains of a part of `artifacts.KEYPOINTS` with their colours; () where none is drawn."""
    if part == "face":
        return FACE_LINES
    return HAND_LINES if part.endswith("hand") else ()


def trusted_keypoints(motion: Motion) -> np.ndarray:
    """Return (T, N) bool: the points of the face and of hands in frames where these were tracked."""
    trusted = np.zeros(motion.confidence.shape, bool)
    for part in ("face", "left_hand", "right_hand"):
        trusted[:, keypoint_slice(part)] = getattr(motion, f"{part}_valid")[:, None]
    return trusted


def visible_keypoints(points: Tensor, distance: Tensor, depth: Tensor) -> Tensor:
    """Say which points the mesh does not hide.

    Only face and hand points are drawn, so body points are never visible; nor is what lies off the picture.

    Args:
        points: (T, N, 2) [px]; distance: (T, N) [m]; depth: (T, H, W) [m].

    Returns:
        (T, N) bool.
    """
    height, width = depth.shape[1:]
    column, row = points.clamp(-1e6, 1e6).floor().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (distance > 0)
    frame = torch.arange(len(points), device=points.device)[:, None]
    surface = depth[frame, row.clamp(0, height - 1), column.clamp(0, width - 1)]
    tolerance = torch.full(points.shape[1:2], torch.nan, device=points.device)
    for part, value in DEPTH_TOLERANCE.items():
        tolerance[keypoint_slice(part)] = value
    return inside & (distance - tolerance <= surface)  # NaN compares false


def keypoint_strokes(points: Tensor, distance: Tensor, trusted: Tensor, visible: Tensor, focal: Tensor) -> Strokes:
    """Join keypoints to lines of the face and the fingers.

    A line needs both its ends trusted and one of them visible; what hides part of it is for
    `draw_strokes` to see.

    Args:
        points: (T, N, 2) [px]; distance: (T, N) [m]; trusted, visible: (T, N) bool; focal: (T,) [px].
    """
    pairs, color, width, tolerance = (values.to(points.device) for values in _segments())
    a, b = pairs.unbind(1)
    away = (distance[:, a] + distance[:, b]) / 2
    return Strokes(
        ends=points[:, pairs], distance=distance[:, pairs],
        width=(width * focal[:, None] / away.clamp(min=0.05)).clamp(min=1), color=color, tolerance=tolerance,
        drawn=trusted[:, a] & trusted[:, b] & (visible[:, a] | visible[:, b]),
    )  # fmt: skip


@functools.cache
def _segments() -> tuple[Tensor, ...]:
    """Return ends (M, 2), colour (M, 3) in [0, 1], width (M,) [m] and tolerance (M,) [m] of all lines."""
    rows = []
    for part in KEYPOINTS:
        first = keypoint_slice(part).start
        for chain, color in lines_of(part):
            for a, b in pairwise(chain):
                rows.append(((first + a, first + b), color, LINE_WIDTH[part], DEPTH_TOLERANCE[part]))
    pairs, colors, widths, tolerances = zip(*rows)
    return torch.tensor(pairs), torch.tensor(colors) / 255, torch.tensor(widths), torch.tensor(tolerances)
