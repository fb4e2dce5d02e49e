"""Where the detector's body points really lie on the body, and how far off it usually is.

MediaPipe's hips, knees and heels are not our landmarks of those names. OFFSETS and the expected errors were measured
on synthetic people of the `train` split, whose truth is known: `scripts/calibrate_marks.py` measures them again.
"""

from dataclasses import replace

import torch
from torch import Tensor

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.body.ehm import PosedBody
from emosh_core.tracker.points import Points
from emosh_core.tracker.sides import PARTNER

_CENTRE_AND_LEFT = {
    0: (0, -4, -7), 1: (-2, -3, -2), 2: (0, -4, -9), 3: (-5, -2, -6), 7: (-10, -8, -3), 9: (-3, 1, 0),
    11: (3, -6, -5), 13: (5, -6, -7), 15: (6, -2, -4), 17: (0, -2, 4), 19: (0, -17, 2), 21: (5, -15, -6),
    23: (3, -32, 17), 25: (0, -21, -4), 27: (-5, -14, 11), 29: (9, -18, 0), 31: (1, -3, 1),
}  # fmt: skip
"""[mm] in the axes of the joint that holds most of the point."""
SYSTEMATIC = (
    5,
    6,
    6,
    6,
    6,
    6,
    6,
    7,
    7,
    6,
    6,
    11,
    11,
    11,
    11,
    9,
    9,
    11,
    11,
    7,
    7,
    9,
    9,
    13,
    13,
    18,
    18,
    10,
    10,
    15,
    15,
    9,
    9,
)
"""[mm] error of a body point that stays the same through a clip (root mean square, per axis)."""
WHITE = (5, 4, 5, 5, 4, 5, 5, 4, 4, 5, 5, 6, 6, 8, 8, 9, 9, 8, 8, 8, 8, 9, 9, 7, 7, 10, 10, 8, 8, 10, 10, 7, 7)
"""[mm] error of a body point around it."""
MEASURED_ON = "embedded"
"""The body whose landmarks the offsets start from; nothing is known for others."""
REAL = 1.3
"""Pictures of real people are harder than rendered ones by about this much."""


def offsets() -> Tensor:
    """Return from the embedded body's landmarks to the detector's body points (33, 3) [m]."""
    found = torch.zeros(KEYPOINTS["body"], 3)
    for mark, offset in _CENTRE_AND_LEFT.items():
        found[mark] = torch.tensor(offset) * 1e-3
        if PARTNER[mark] != mark:
            found[PARTNER[mark]] = found[mark] * torch.tensor([-1.0, 1.0, 1.0])
    return found


def body_sigma() -> Tensor:
    """Return the expected error of a body point in one frame (33,) [m]."""
    return REAL * torch.hypot(torch.tensor(SYSTEMATIC) * 1e-3, torch.tensor(WHITE) * 1e-3)


def holders(points: Points) -> Tensor:
    """Return the joint that holds most of each point (N,)."""
    best = torch.zeros(points.count).to(points.mass).scatter_reduce(0, points.point, points.mass, "amax")
    most = points.mass == best[points.point]
    return torch.zeros(points.count, dtype=torch.long).scatter(0, points.point[most], points.joint[most])


def on_body(posed: PosedBody) -> Tensor:
    """Return where the detector puts a posed body's landmarks (*B, 553, 3) [m]; see `as_detected`."""
    body, model, points = keypoint_slice("body"), posed.model, posed.landmarks()
    held = model.landmark_weights[body, :, None] * model.lbs_weights[model.landmark_verts[body]]
    if model.name != MEASURED_ON:
        return points
    turned = posed.rotmats[:, held.sum(1).argmax(-1)] @ offsets().to(points)[..., None]
    return torch.cat([points[:, body] + turned[..., 0], points[:, body.stop :]], 1)


def as_detected(points: Points) -> Points:
    """Move landmarks to where the detector puts them."""
    moved, joint = points.rest.clone(), holders(points)
    shift = torch.zeros(points.count, 3).to(moved)
    shift[keypoint_slice("body")] = offsets().to(moved)
    holds = points.joint == joint[points.point]
    moved[holds] += shift[points.point[holds]]
    return replace(points, rest=moved)
