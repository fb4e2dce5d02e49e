"""Retarget: the driver's motion, face and camera on the reference's shape."""

from dataclasses import fields, replace

import numpy as np
import roma
import torch
from torch import Tensor

from emosh_core.artifacts import CONTACTS, Motion, Target
from emosh_core.body.ehm import EhmModel
from emosh_core.body.ik import LIMBS, move_end
from emosh_core.body.pose import Pose, pose_from_motion
from emosh_core.body.probes import PosedProbes, probes_of
from emosh_core.errors import ArtifactError
from emosh_core.retarget.feet import find_stands
from emosh_core.retarget.hands import gap_error, hand_moves, mismatch
from emosh_core.retarget.root import leg_length, legs_seen, scaled_path, vertical_offset
from emosh_core.retarget.touches import find_touches
from emosh_core.settings import RetargetConfig

STILL = 1e-4  # [m] a limb whose end is to move less is left alone, bit for bit


def retarget(motion: Motion, reference: Motion, body: EhmModel, config: RetargetConfig) -> Target:
    """Swap the shape: (θ, ψ, camera) of the driver, (β_b, β_f) of the reference.

    The pelvis' path is scaled by the length of the legs about its median point. Then everything
    moves up or down by one distance, so that the median frame's face keeps its image row although the
    body under it is longer or shorter. Then arms and legs bend where the driver's hands or feet
    touch something, so that the target's do too; no other joint turns.

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
    before, after = (probes_of(body).of(body.with_shape_of(one.shape)) for one in (motion, reference))
    ratio = 1.0
    if config.root == "scaled" and legs_seen(motion):
        ratio = leg_length(after.shaped) / leg_length(before.shaped)
    driver = before.posed(pose)
    path = scaled_path(driver.joints[:, 0], ratio, motion.person_valid)
    placed = replace(pose, transl=path - after.shaped.rest_joints[0])
    target, offset = after.posed(placed), 0.0
    if config.anchor == "face" and motion.person_valid.any():
        offset = vertical_offset(motion, driver.joints, target.joints)
        up = torch.tensor([0.0, offset, 0.0])
        placed, target = replace(placed, transl=placed.transl + up), target.moved(up)
    weights = np.zeros((len(path), len(CONTACTS)), np.float32)
    if config.contacts == "on":
        placed, target, weights = keep_contacts(motion, driver, placed, target, ratio)
    kept = {f.name: getattr(motion, f.name) for f in fields(Motion)}
    retargeted = Target(**kept, vertical_offset=offset, contacts=weights)
    return replace(
        retargeted, shape=reference.shape, transl=placed.transl.numpy(), body_pose=placed.body_pose.numpy(),
        joints=target.joints.numpy(),
    )  # fmt: skip


def keep_contacts(
    motion: Motion, driver: PosedProbes, pose: Pose, target: PosedProbes, ratio: float
) -> tuple[Pose, PosedProbes, np.ndarray]:
    """Bend the target's legs, then its arms, so that feet and hands touch what the driver's touch.

    Args:
        motion, driver: the driver and its probes.
        pose, target: the target, placed but not corrected.
        ratio: how far the target travels for each metre of the driver's.

    Returns:
        The corrected pose, the probes in it, and the weights of CONTACTS (T, 7).
    """
    weights = np.zeros((len(pose.transl), len(CONTACTS)), np.float32)
    stands = find_stands(motion, driver, target, ratio)
    for foot, stand in stands.items():
        weights[:, CONTACTS.index(f"{foot}-floor")] = stand.fade.weight
    pose, target = _bend(pose, target, {foot: stand.move for foot, stand in stands.items()})
    touches = find_touches(motion, driver)
    for name, touch in touches.items():
        weights[:, CONTACTS.index(name)] = touch.fade.weight
    for measure in (mismatch, gap_error):
        wanted = {name: measure(touch, driver, target) for name, touch in touches.items()}
        pose, target = _bend(pose, target, hand_moves(touches, wanted, target.joints))
    return pose, target, weights


def _bend(pose: Pose, body: PosedProbes, moves: dict[str, Tensor]) -> tuple[Pose, PosedProbes]:
    """Move the ends of limbs; return the pose and the body in it. What moves less than STILL stays as it is."""
    body_pose = pose.body_pose.clone()
    for name, move in moves.items():
        rows = (move.norm(dim=-1) > STILL).nonzero()[:, 0]
        turns = move_end(body.posed.rotmats[rows], body.joints[rows], LIMBS[name], move[rows])
        for k, joint in enumerate(LIMBS[name].joints):
            body_pose[rows, joint - 1] = roma.rotmat_to_rotvec(turns[:, k])
    if torch.equal(body_pose, pose.body_pose):
        return pose, body
    pose = replace(pose, body_pose=body_pose)
    return pose, body.of.posed(pose)
