"""From a source mesh to what the identity and expression spaces are made of, for any choice of its vertices."""

from dataclasses import dataclass

import numpy as np
from identity import head_mask, split_identity
from skeleton import joint_regressor, merge_weights
from source import Source

from emosh_core.body.joints import EYES, HEAD, JAW


@dataclass(frozen=True)
class Pieces:
    """A mesh in EMOSH's terms, before its identity is compressed; metres, K blend shapes."""

    template: np.ndarray  # (V, 3), the mean person with the pelvis at the origin
    weights: np.ndarray  # (V, 55)
    mask: np.ndarray  # (V,) how much of a vertex is head
    joints: np.ndarray  # (55, 3)
    body: np.ndarray  # (K, V, 3) the part of the blend shapes that moves the head as one rigid piece
    head: np.ndarray  # (K, V, 3) the rest of them
    joint_body: np.ndarray  # (K, 55, 3)
    joint_head: np.ndarray  # (K, 55, 3)
    expression: np.ndarray  # (V, 3, 52)
    expression_names: tuple[str, ...]


def take_apart(source: Source, mean: np.ndarray) -> Pieces:
    """Split a source mesh into body and head about the mean person's coefficients (K,)."""
    weights = merge_weights(source.weights, source.bone_names, source.bone_parents)
    regressor = joint_regressor(source.bone_names)
    joints, joint_dirs = regressor @ source.bones, regressor @ source.bone_dirs
    dirs = source.dirs - joint_dirs[:, :1]  # every identity has its pelvis at the origin
    template = source.verts - joints[0] + np.tensordot(mean, dirs, 1)
    mean_joints = joints - joints[0] + np.tensordot(mean, joint_dirs - joint_dirs[:, :1], 1)
    mask = head_mask(weights)
    # Where the head's shape must not reach, its small joints (whose places depend on that shape) must not either.
    face_joints = [JAW, *EYES]
    weights[:, HEAD] += np.where(mask == 0, weights[:, face_joints].sum(1), 0)
    weights[:, face_joints] *= (mask > 0)[:, None]
    (body, head), (joint_body, joint_head) = split_identity(dirs, joint_dirs - joint_dirs[:, :1], mask)
    actions = source.action_dirs
    names = (*sorted(name for name in actions if name != "tongueOut"), "tongueOut")  # MediaPipe's order
    expression = np.stack([actions[name] for name in names], -1) * mask[:, None, None]
    return Pieces(template, weights, mask, mean_joints, body, head, joint_body, joint_head, expression, names)
