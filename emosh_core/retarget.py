"""Retarget: the driver's motion, face and camera on the reference's shape."""

from dataclasses import fields, replace

import numpy as np
import torch

from emosh_core.artifacts import Motion, Target
from emosh_core.body.ehm import EhmModel
from emosh_core.body.pose import pose_from_motion
from emosh_core.errors import ArtifactError
from emosh_core.geometry.camera import to_camera
from emosh_core.settings import RetargetConfig

EYES = slice(23, 25)  # joints whose mean is the point of the face that keeps its image row


def retarget(motion: Motion, reference: Motion, body: EhmModel, config: RetargetConfig) -> Target:
    """Swap the shape: (θ, ψ, camera) of the driver, (β_b, β_f) of the reference.

    The pelvis keeps its world position; then everything moves up or down by one distance, so that
    the median frame's face keeps its image row although the body under it is longer or shorter.

    Args:
        motion: the driver, T frames.
        reference: the still's fit; only its shape is used.
        body: the model that both were fitted with.
        config: settings.

    Raises:
        ArtifactError: the two were fitted with different body models.
    """
    if motion.body_model != reference.body_model or motion.body_model != body.name:
        raise ArtifactError(
            "driver and reference were tracked with different body models",
            found=f"{motion.body_model} and {reference.body_model}; loaded: {body.name}",
            fix="track both with the same model: `emosh track … --force`",
        )
    pose = pose_from_motion(motion)
    small = body.for_landmarks()
    driver = small.with_shape_of(motion.shape).with_pose(pose).joints
    target = small.with_shape_of(reference.shape).with_pose(pose).joints
    shift = driver[:, :1] - target[:, :1]
    target = target + shift
    offset = 0.0
    if config.anchor == "face" and motion.person_valid.any():
        offset = vertical_offset(motion, driver, target)
    move = shift + torch.tensor([0.0, offset, 0.0])
    kept = {f.name: getattr(motion, f.name) for f in fields(Motion)}
    retargeted = Target(**kept, vertical_offset=offset)
    return replace(
        retargeted,
        shape=reference.shape,
        transl=(pose.transl + move[:, 0]).numpy(),
        joints=(target + torch.tensor([0.0, offset, 0.0])).numpy(),
    )


def vertical_offset(motion: Motion, driver: torch.Tensor, target: torch.Tensor) -> float:
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
