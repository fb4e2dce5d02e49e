"""Where the body goes: its path at the scale of its legs, and the height that keeps the face in its row."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from emosh_core.artifacts import Motion, keypoint_slice
from emosh_core.body.ehm import ShapedBody
from emosh_core.geometry.camera import to_camera

EYES = slice(23, 25)  # joints whose mean is the point of the face that keeps its image row
LEGS = ((1, 4, 7), (2, 5, 8))  # hip, knee, ankle
LEG_POINTS = [25, 26, 27, 28]  # knees and ankles among the detector's body points
SEEN = 0.5  # confidence of a point that counts as seen


def leg_length(shaped: ShapedBody) -> float:
    """Return hip to knee to ankle [m], the mean of both legs."""
    joints = shaped.rest_joints
    bones = [joints[a] - joints[b] for leg in LEGS for a, b in pairwise(leg)]
    return float(torch.stack(bones).norm(dim=-1).sum() / 2)


def legs_seen(motion: Motion) -> bool:
    """Say whether the clip shows legs: knees and ankles in at least half of the frames with a person."""
    body = motion.confidence[:, keypoint_slice("body")][motion.person_valid]
    return bool(len(body)) and float((body[:, LEG_POINTS].mean(-1) >= SEEN).mean()) >= 0.5


def scaled_path(pelvis: Tensor, ratio: float, valid: np.ndarray) -> Tensor:
    """Scale a path about its median point, so that steps fit the legs and the body stays in the picture.

    Up and down are scaled like the rest: about the median height is, but for a constant that the
    vertical offset settles, about the floor.

    Args:
        pelvis: (T, 3) [m].
        ratio: length of the new legs over that of the driver's.
        valid: (T,) bool, frames that count for the median.
    """
    if ratio == 1 or not valid.any():
        return pelvis
    middle = torch.from_numpy(np.median(pelvis.numpy()[valid], axis=0))
    return middle + ratio * (pelvis - middle)


def vertical_offset(motion: Motion, driver: Tensor, target: Tensor) -> float:
    """Return the world y shift [m] that puts the target's eyes into the driver's image rows (median frame).

    Solves (y + Δ a) / (z + Δ b) = v per frame, where (a, b) are the camera's y and z components of
    the world's up axis and v is the driver's normalised row.

    Args:
        motion: the driver; its cameras and which frames are valid.
        driver, target: (T, 55, 3) m, posed joints in world axes.
    """
    w2c = torch.from_numpy(motion.w2c)
    before, after = (to_camera(j[:, EYES].mean(1, keepdim=True), w2c)[:, 0] for j in (driver, target))
    row = before[:, 1] / before[:, 2]
    up = w2c[:, :3, 1]
    shift = (row * after[:, 2] - after[:, 1]) / (up[:, 1] - row * up[:, 2])
    return float(np.median(shift.numpy()[motion.person_valid]))
