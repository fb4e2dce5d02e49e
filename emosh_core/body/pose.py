"""Poses: joint rotations, expression and translation of T frames."""

from dataclasses import dataclass, fields

import roma
import torch
from torch import Tensor

from emosh_core.artifacts import Motion

EXPRESSION_SIZE = 52


@dataclass(frozen=True, kw_only=True)
class Pose:
    """What a body does in T frames; rotations are axis-angle [rad], relative to the parent joint."""

    global_orient: Tensor
    """(T, 3): turns the body about its pelvis."""
    body_pose: Tensor
    """(T, 21, 3): joints 1 to 21."""
    left_hand_pose: Tensor
    """(T, 15, 3)."""
    right_hand_pose: Tensor
    """(T, 15, 3)."""
    jaw_pose: Tensor
    """(T, 3)."""
    eye_pose: Tensor
    """(T, 2, 3): left, right."""
    expression: Tensor
    """(T, 52): weights of the expression units, 0..1."""
    transl: Tensor
    """(T, 3) [m]: the pelvis is at its rest place plus this."""

    def rotmats(self) -> Tensor:
        """Return all 55 joint rotations as matrices (T, 55, 3, 3)."""
        axis_angle = torch.cat([
            self.global_orient[:, None], self.body_pose, self.jaw_pose[:, None], self.eye_pose,
            self.left_hand_pose, self.right_hand_pose,
        ], 1)  # fmt: skip
        return roma.rotvec_to_rotmat(axis_angle)


@dataclass(frozen=True, kw_only=True)
class MotionPose(Pose):
    """A pose with eyelids, for a body model that has them apart from the expression (SMPL-X with FLAME's head)."""

    eyelid: Tensor
    """(T, 2): how far the left and the right eyelid is closed, 0..1."""


def zero_pose(frames: int = 1, device="cpu", dtype: torch.dtype = torch.float32) -> Pose:
    """Return the T-pose with a neutral face, `frames` times."""
    shapes = {
        "global_orient": (3,), "body_pose": (21, 3), "left_hand_pose": (15, 3), "right_hand_pose": (15, 3),
        "jaw_pose": (3,), "eye_pose": (2, 3), "expression": (EXPRESSION_SIZE,), "transl": (3,),
    }  # fmt: skip
    return Pose(**{name: torch.zeros(frames, *shape, device=device, dtype=dtype) for name, shape in shapes.items()})


def pose_from_motion(motion: Motion, device="cpu", dtype: torch.dtype = torch.float32) -> MotionPose:
    """Return the pose part of a motion as tensors."""
    names = (field.name for field in fields(MotionPose))
    return MotionPose(**{name: torch.as_tensor(getattr(motion, name), device=device, dtype=dtype) for name in names})
