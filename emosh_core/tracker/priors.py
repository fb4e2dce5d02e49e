"""What a human pose looks like before anything is seen: means, spreads and joint limits.

All values are ours: hand-set from anatomy (a joint's usual range), not learnt from anybody's data.
Joint frames are world-aligned in T-pose: left arm along +x, palms down, legs along −y, facing +z.
"""

from functools import cache

import torch

BODY_JOINTS = (
    "left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot "
    "neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist"
).split()
"""Order of `Motion.body_pose`."""

BODY_PARTS = tuple(
    f"{name.split('_')[0]}_{'leg' if name.split('_')[-1] in ('hip', 'knee', 'ankle', 'foot') else 'arm'}"
    if "_" in name else "person" for name in BODY_JOINTS
)  # fmt: skip
"""The part of `Motion.trust` that each joint of the body pose belongs to."""

# Spread [rad] of the prior around its mean, per joint; left and right share one entry.
_SPREAD = {
    "hip": 0.6, "spine1": 0.15, "spine2": 0.12, "spine3": 0.12, "knee": 0.7, "ankle": 0.3, "foot": 0.12,
    "neck": 0.3, "head": 0.3, "collar": 0.12, "shoulder": 1.6, "elbow": 1.0, "wrist": 0.4,
}  # fmt: skip
# Lower and upper limits [rad] about x, y, z for the left side (mirrored for the right: y and z change sign).
_LIMITS = {
    "hip": ((-2.2, -0.8, -0.6), (0.6, 0.8, 1.2)), "knee": ((-0.05, -0.2, -0.15), (2.5, 0.2, 0.15)),
    "ankle": ((-0.7, -0.4, -0.4), (0.7, 0.4, 0.4)), "foot": ((-0.5, -0.1, -0.1), (0.5, 0.1, 0.1)),
    "spine1": ((-0.3, -0.4, -0.3), (0.8, 0.4, 0.3)), "spine2": ((-0.2, -0.4, -0.3), (0.5, 0.4, 0.3)),
    "spine3": ((-0.2, -0.4, -0.3), (0.5, 0.4, 0.3)), "neck": ((-0.6, -0.8, -0.5), (0.6, 0.8, 0.5)),
    "head": ((-0.6, -0.7, -0.5), (0.6, 0.7, 0.5)), "collar": ((-0.2, -0.3, -0.2), (0.2, 0.3, 0.4)),
    "shoulder": ((-2.2, -2.6, -2.0), (2.2, 1.6, 2.0)), "elbow": ((-1.6, -2.6, -0.2), (1.6, 0.05, 0.2)),
    "wrist": ((-0.6, -0.6, -1.3), (0.6, 0.6, 1.3)),
}  # fmt: skip
ARMS_DOWN = 1.15  # [rad] from T-pose; where an arm that nobody sees is assumed to hang
FINGER_CURL = 0.25  # [rad] per joint of a relaxed hand
FINGER_LIMITS = ((-0.25, -0.35, -1.8), (0.25, 0.35, 0.3))
THUMB_LIMITS = ((-0.9, -1.1, -1.0), (0.9, 1.1, 1.0))


def mirror(side: str) -> torch.Tensor:
    """Signs that turn a left joint's axis-angle into the right one's (reflection in the x = 0 plane)."""
    return torch.tensor([1.0, 1.0, 1.0] if side == "left" else [1.0, -1.0, -1.0])


@cache
def body_mean() -> torch.Tensor:
    """Mean axis-angle (21, 3) [rad]: standing, arms hanging."""
    mean = torch.zeros(21, 3)
    mean[BODY_JOINTS.index("left_shoulder"), 2] = -ARMS_DOWN
    mean[BODY_JOINTS.index("right_shoulder"), 2] = ARMS_DOWN
    return mean


@cache
def body_spread() -> torch.Tensor:
    """Standard deviation (21, 1) [rad] of each joint around the mean."""
    return torch.tensor([[_SPREAD[name.split("_")[-1]]] for name in BODY_JOINTS])


@cache
def body_limits() -> tuple[torch.Tensor, torch.Tensor]:
    """Lower and upper limits (21, 3) [rad]."""
    rows = [_side_limits(_LIMITS[name.split("_")[-1]], name) for name in BODY_JOINTS]
    return torch.stack([r[0] for r in rows]), torch.stack([r[1] for r in rows])


@cache
def hand_mean(side: str) -> torch.Tensor:
    """Mean axis-angle (15, 3) [rad] of a relaxed hand; joint order index, middle, pinky, ring, thumb."""
    mean = torch.zeros(15, 3)
    mean[:12, 2] = -FINGER_CURL
    return mean * mirror(side)


@cache
def hand_limits(side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower and upper limits (15, 3) [rad]."""
    rows = [_side_limits(FINGER_LIMITS if i < 12 else THUMB_LIMITS, side) for i in range(15)]
    return torch.stack([r[0] for r in rows]), torch.stack([r[1] for r in rows])


def _side_limits(limits, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    low, high = torch.tensor(limits[0]), torch.tensor(limits[1])
    if not name.startswith("right"):
        return low, high
    a, b = low * mirror("right"), high * mirror("right")
    return torch.minimum(a, b), torch.maximum(a, b)
