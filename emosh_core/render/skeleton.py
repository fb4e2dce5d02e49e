"""The detector's own 2-D skeleton: what pose-driven models are usually shown.

It carries the driver's proportions into the picture. That is the entangled baseline that the mesh is
compared with, and nothing else should use it.
"""

import colorsys
import functools
from itertools import pairwise

import numpy as np
import torch
from emosh_kernels.strokes import Strokes

from emosh_core.artifacts import Motion, keypoint_slice
from emosh_core.render.keypoints import HAND_LINES

NECK = -1
"""Stands for the middle between the shoulders, which the detector does not have."""
LIMBS = (
    (NECK, 12), (NECK, 11), (12, 14), (14, 16), (11, 13), (13, 15), (NECK, 24), (24, 26), (26, 28),
    (NECK, 23), (23, 25), (25, 27), (NECK, 0), (0, 5), (5, 8), (0, 2), (2, 7), (28, 32), (27, 31),
)  # fmt: skip
"""Pairs of MediaPipe's 33 body points, in OpenPose's order of limbs, and the feet."""
FACE_POINTS = (
    10, 338, 297, 332, 284, 251, 389, 454, 361, 397, 379, 152, 150, 172, 132, 234, 162, 54, 67, 70, 105, 107, 336,
    334, 300, 33, 159, 133, 145, 362, 386, 263, 374, 1, 4, 168, 61, 0, 291, 17, 13, 14, 468, 473,
)  # fmt: skip
CONFIDENT = 0.3
BODY_WIDTH, HAND_WIDTH, FACE_WIDTH = 1 / 100, 1 / 250, 1 / 250
"""Of the picture's shorter side."""


def skeleton_strokes(motion: Motion, frames: slice, scale: float, shift: np.ndarray, short_side: int) -> Strokes:
    """Draw what was detected in some frames.

    Args:
        scale, shift: from the driver's pixels to the picture's: scale · p + shift (2,) [px].
        short_side: of the picture [px].
    """
    points = motion.keypoints2d[frames] * scale + shift
    confident = motion.confidence[frames] > CONFIDENT
    body = keypoint_slice("body").start
    shoulders = [body + 11, body + 12]
    points = np.concatenate([points, points[:, shoulders].mean(1, keepdims=True)], 1)
    confident = np.concatenate([confident, confident[:, shoulders].all(1, keepdims=True)], 1)
    pairs, color, width = _segments()
    rows = pairs.numpy()
    drawn = torch.as_tensor(confident[:, rows].all(-1))
    count = len(points)
    return Strokes(
        ends=torch.as_tensor(points[:, rows], dtype=torch.float32), distance=torch.ones(count, len(rows), 2),
        width=(width * short_side).clamp(min=1).expand(count, -1), color=color, tolerance=torch.zeros(len(rows)),
        drawn=drawn,
    )  # fmt: skip


@functools.cache
def _segments() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ends (M, 2), colour (M, 3) in [0, 1] and width (M,) of all lines; −1 is the neck."""
    body, face = keypoint_slice("body").start, keypoint_slice("face").start
    rows = [
        ([a if a == NECK else body + a for a in limb], colorsys.hsv_to_rgb(i / len(LIMBS), 1, 1), BODY_WIDTH)
        for i, limb in enumerate(LIMBS)
    ]
    for part in ("left_hand", "right_hand"):
        first = keypoint_slice(part).start
        for chain, color in HAND_LINES:
            line = tuple(value / 255 for value in color)
            rows += [([first + a, first + b], line, HAND_WIDTH) for a, b in pairwise(chain)]
    rows += [([face + i, face + i], (1.0, 1.0, 1.0), FACE_WIDTH) for i in FACE_POINTS]
    pairs, colors, widths = zip(*rows)
    return torch.tensor(pairs), torch.tensor(colors), torch.tensor(widths)
