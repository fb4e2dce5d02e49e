"""Coarse initialisation: detections → a pose, place and orientation for every frame, in closed form.

The world is a fixed upright camera's (`CAMERA_AT_ORIGIN`): x right, y up, z towards the camera.
"""

import cv2
import numpy as np
import roma
import torch
from torch import Tensor

from emosh_core.artifacts import keypoint_slice
from emosh_core.geometry.camera import CAMERA_AT_ORIGIN
from emosh_core.tracker import priors
from emosh_core.tracker.detectors import Detections

CAM_TO_WORLD = torch.from_numpy(CAMERA_AT_ORIGIN[:3, :3].T.copy())

# Limbs as (upper joint, middle joint, end joint), and the MediaPipe body points of the same places.
LIMBS = {
    "left_arm": ((16, 18, 20), (11, 13, 15)),
    "right_arm": ((17, 19, 21), (12, 14, 16)),
    "left_leg": ((1, 4, 7), (23, 25, 27)),
    "right_leg": ((2, 5, 8), (24, 26, 28)),
}
# Axis about which the middle joint bends in T-pose: elbows forward, knees backward.
HINGE = {"left_arm": (0, -1, 0), "right_arm": (0, 1, 0), "left_leg": (1, 0, 0), "right_leg": (1, 0, 0)}
TRUSTED = 0.5  # confidence from which a point takes part
LEAST_FACE = 12  # face points from which the head's rotation is solved; some detectors see a part of them only


def initialize(detections: Detections, rest_joints: Tensor, rest_face: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate root orientation and body pose per frame.

    Args:
        detections: T frames.
        rest_joints: (55, 3) m, joints of the mean body in zero pose.
        rest_face: (478, 3) m, face landmarks of the same body.
        K: (3, 3) px.

    Returns:
        Root rotation matrices (T, 3, 3) and body pose (T, 21, 3) axis-angle [rad].
    """
    body = keypoint_slice("body")
    confidence = torch.from_numpy(detections.confidence[:, body])
    points = torch.from_numpy(detections.body3d) @ CAM_TO_WORLD.T
    head, head_found = head_orientation(detections, rest_face, K)
    root = root_orientation(points, confidence, head, head_found)
    pose = priors.body_mean().repeat(len(points), 1, 1)
    for limb, (joints, marks) in LIMBS.items():
        _point_limb(limb, joints, marks, points, confidence, rest_joints, root, pose)
    bend = roma.rotmat_to_rotvec(root.mT @ head) / 2  # the neck and the head joint take one half each
    bend = torch.where(head_found[:, None], bend, torch.zeros(3)).clip(-0.7, 0.7)
    pose[:, 11], pose[:, 14] = bend, bend
    return root, pose


def head_orientation(detections: Detections, rest_face: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Solve for the head's world rotation (T, 3, 3) from the face points by PnP; and where (T,) it was found."""
    face = keypoint_slice("face")
    ids = np.arange(468)
    rotations = torch.eye(3).repeat(len(detections.silhouette), 1, 1)
    found = torch.zeros(len(rotations), dtype=torch.bool)
    model = rest_face[ids].double().numpy()
    for t in range(len(rotations)):
        seen = np.flatnonzero(detections.confidence[t, face][ids] >= TRUSTED)
        seen = seen[::3] if len(seen) > 200 else seen  # a whole mesh says the same thing many times
        if len(seen) < LEAST_FACE:
            continue
        pixels = detections.keypoints2d[t, face][seen].astype(np.float64)
        try:
            ok, rotvec, _ = cv2.solvePnP(model[seen], pixels, K.double().numpy(), None, flags=cv2.SOLVEPNP_SQPNP)
        except cv2.error:  # a face of a few pixels: too narrow a bundle of rays for the solver
            continue
        if ok:
            rotations[t] = CAM_TO_WORLD @ torch.from_numpy(cv2.Rodrigues(rotvec)[0]).float()
            found[t] = True
    return rotations, found


def root_orientation(points: Tensor, confidence: Tensor, head: Tensor, head_found: Tensor) -> Tensor:
    """Orient the pelvis (T, 3, 3) from hips and shoulders; upright where no hips are seen.

    Args:
        points: (T, 33, 3) m, world axes.
        confidence: (T, 33).
        head: (T, 3, 3) head rotation, used where no shoulders are seen either.
        head_found: (T,).
    """
    left = points[:, 11] - points[:, 12] + points[:, 23] - points[:, 24]
    up = points[:, 11] + points[:, 12] - points[:, 23] - points[:, 24]
    hips = (confidence[:, [23, 24]].amin(-1) > TRUSTED)[:, None]
    shoulders = (confidence[:, [11, 12]].amin(-1) > TRUSTED)[:, None]
    from_head = torch.where(head_found[:, None], head[:, :, 0], torch.tensor([1.0, 0.0, 0.0]))
    left = torch.where(shoulders, left, from_head)
    up = torch.where(hips & shoulders, up, torch.tensor([0.0, 1.0, 0.0]))
    up = torch.nn.functional.normalize(up, dim=-1)
    left = torch.nn.functional.normalize(left - (left * up).sum(-1, keepdim=True) * up, dim=-1)
    return torch.stack([left, up, torch.linalg.cross(left, up)], -1)


def _point_limb(limb, joints, marks, points, confidence, rest, root, pose) -> None:
    """Set the two upper joints of a limb in `pose` (T, 21, 3) where the limb is seen."""
    a, b, c = (points[:, m] for m in marks)
    seen = confidence[:, list(marks[:2])].amin(-1) > TRUSTED
    seen_end = seen & (confidence[:, marks[2]] > TRUSTED)
    upper, lower = _unit(b - a), _unit(c - b)
    upper, lower = (torch.einsum("tji,tj->ti", root, d) for d in (upper, lower))  # into the pelvis' axes
    rest_upper, rest_lower = _unit(rest[joints[1]] - rest[joints[0]]), _unit(rest[joints[2]] - rest[joints[1]])
    hinge_rest = torch.tensor(HINGE[limb], dtype=rest.dtype)
    hinge = torch.linalg.cross(upper, lower)
    bent = (hinge.norm(dim=-1) > 0.35) & seen_end
    # A straight limb has no visible hinge: turn the rest hinge the shortest way along with the limb.
    shortest = _between(rest_upper.expand_as(upper), upper)
    hinge = torch.where(bent[:, None], hinge, shortest @ hinge_rest)
    first = _frame(upper, hinge) @ _frame(rest_upper, hinge_rest).T
    second = _between(rest_lower.expand_as(lower), torch.einsum("tji,tj->ti", first, lower))
    pose[seen, joints[0] - 1] = roma.rotmat_to_rotvec(first)[seen]
    pose[seen_end, joints[1] - 1] = roma.rotmat_to_rotvec(second)[seen_end]


def turn_wrists(pose: Tensor, side: str, valid: Tensor, hand: Tensor, rest_hand: Tensor, root: Tensor) -> None:
    """Set forearm twist and wrist in `pose` (T, 21, 3) from the hand's own points, in place.

    Args:
        side: "left" or "right".
        valid: (T,) where the hand is trusted.
        hand: (T, 21, 3) any unit, camera axes.
        rest_hand: (21, 3) m, the same points in zero pose.
        root: (T, 3, 3).
    """
    palm = [0, 1, 5, 9, 13, 17]  # wrist, thumb base and knuckles move as one rigid piece
    shoulder, elbow, wrist = (16, 18, 20) if side == "left" else (17, 19, 21)
    seen = hand[:, palm] @ CAM_TO_WORLD.T
    seen, rest = seen - seen.mean(1, keepdim=True), rest_hand[palm] - rest_hand[palm].mean(0)
    world = roma.special_procrustes(torch.einsum("tni,nj->tij", seen, rest))
    upper, lower = (roma.rotvec_to_rotmat(pose[:, j - 1]) for j in (shoulder, elbow))
    local = (root @ upper @ lower).mT @ world
    quat = roma.rotmat_to_unitquat(local)  # x y z w
    twist = (2 * torch.atan2(quat[:, 0], quat[:, 3]) + torch.pi) % (2 * torch.pi) - torch.pi
    # Pronation happens along the forearm, so its twist about x belongs to the elbow joint.
    turn = roma.rotvec_to_rotmat(torch.stack([twist, 0 * twist, 0 * twist], -1))
    pose[valid, elbow - 1] = roma.rotmat_to_rotvec(lower @ turn)[valid]
    pose[valid, wrist - 1] = roma.rotmat_to_rotvec(turn.mT @ local)[valid].clip(-1.0, 1.0)


def solve_translation(points: Tensor, pixels: Tensor, weight: Tensor, K: Tensor) -> Tensor:
    """Find the translation (T, 3) [m] that brings points closest to their pixels (linear least squares).

    Args:
        points: (T, N, 3) m, camera axes, untranslated.
        pixels: (T, N, 2) px.
        weight: (T, N).
        K: (3, 3) px.

    Returns:
        Translation in camera axes; frames without any weight get NaN.
    """
    ray = (pixels - K[:2, 2]) / K[[0, 1], [0, 1]]
    one, zero = torch.ones_like(ray[..., 0]), torch.zeros_like(ray[..., 0])
    rows = torch.stack([torch.stack([one, zero, -ray[..., 0]], -1), torch.stack([zero, one, -ray[..., 1]], -1)], -2)
    target = ray * points[..., 2:] - points[..., :2]
    w = weight[..., None]
    normal = torch.einsum("tnki,tnkj,tnk->tij", rows, rows, w.expand_as(target))
    right = torch.einsum("tnki,tnk->ti", rows, target * w)
    solvable = weight.sum(-1) > 1e-6
    safe = torch.where(solvable[:, None, None], normal, torch.eye(3, dtype=normal.dtype))
    return torch.where(solvable[:, None], torch.linalg.solve(safe, right), torch.nan)


def fill_gaps(values: Tensor, known: Tensor) -> Tensor:
    """Interpolate (T, ...) linearly over frames that are not `known` (T,); ends are held."""
    index = np.arange(len(values))
    keep = known.numpy()
    flat = values.reshape(len(values), -1).numpy()
    filled = np.stack([np.interp(index, index[keep], column[keep]) for column in flat.T], -1)
    return torch.from_numpy(filled).to(values.dtype).reshape(values.shape)


def fill_rotation_gaps(rotmats: Tensor, known: Tensor) -> Tensor:
    """Interpolate rotations (T, 3, 3) along the shortest way over frames that are not `known` (T,)."""
    quats = roma.rotmat_to_unitquat(rotmats)[known]
    flip = torch.cumprod(torch.where((quats[1:] * quats[:-1]).sum(-1) < 0, -1.0, 1.0), 0)
    continuous = torch.zeros(len(rotmats), 4)
    continuous[known] = quats * torch.cat([torch.ones(1), flip])[:, None]
    return roma.unitquat_to_rotmat(_unit(fill_gaps(continuous, known)))


def _unit(v: Tensor) -> Tensor:
    return torch.nn.functional.normalize(v, dim=-1)


def _frame(axis: Tensor, side: Tensor) -> Tensor:
    """Right-handed frame (..., 3, 3) whose first column is `axis` and whose second is nearest to `side`."""
    side = _unit(side - (side * axis).sum(-1, keepdim=True) * axis)
    return torch.stack([axis, side, torch.linalg.cross(axis, side)], -1)


def _between(a: Tensor, b: Tensor) -> Tensor:
    """Smallest rotation (T, 3, 3) that takes unit vectors a to b (T, 3)."""
    axis = _unit(torch.linalg.cross(a, b))
    angle = torch.acos((a * b).sum(-1).clip(-1, 1))
    return roma.rotvec_to_rotmat(axis * angle[:, None])
