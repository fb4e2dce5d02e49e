"""What a coarse estimator says about T frames, and how its word replaces the closed-form start.

Rotations in camera axes (OpenCV: x right, y down, z forward) turn a part's own model axes (SMPL-X, MANO,
FLAME: x to the subject's left, y up, z forward) into the camera's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
import roma
import torch
from torch import Tensor

from emosh_core.artifacts import keypoint_slice
from emosh_core.body.joints import HEAD, PARENTS, WRISTS
from emosh_core.tracker.detectors import Detections
from emosh_core.tracker.initialize import CAM_TO_WORLD

JAW_OPEN = 0.36
"""[rad] that the embedded body's chin turns about the jaw joint at jawOpen = 1 (measured on its mesh: 20.7°)."""
NECK, ELBOWS = 12, {"left": 18, "right": 19}

PARTS = {
    "body": ("root", "body_pose", "transl"),
    "left_hand": ("left_hand_pose", "left_wrist", "left_hand_transl", "left_hand_points"),
    "right_hand": ("right_hand_pose", "right_wrist", "right_hand_transl", "right_hand_points"),
    "face": ("head", "head_transl", "expression", "jaw", "eyelid"),
}
"""Fields of `Coarse` by the mask that says where they are known: `body_known` and so on."""


@dataclass(frozen=True, kw_only=True)
class Coarse:
    """A coarse estimate of T frames; None is what the estimator does not give. All float32, masks bool.

    Where a mask is false, the values of its part mean nothing.
    """

    K: np.ndarray | None = None
    """(3, 3) px, the camera that `transl` belongs to; hands and head stand before the tracker's own."""
    body_known: np.ndarray | None = None
    """(T,)."""
    root: np.ndarray | None = None
    """(T, 3, 3) pelvis, camera axes."""
    body_pose: np.ndarray | None = None
    """(T, 21, 3) axis-angle [rad], SMPL-X order and axes: copies straight."""
    transl: np.ndarray | None = None
    """(T, 3) m, the pelvis joint in camera axes under `K`."""
    left_hand_known: np.ndarray | None = None
    left_hand_pose: np.ndarray | None = None
    """(T, 15, 3) axis-angle [rad]: index, middle, pinky, ring, thumb; zero is the flat hand."""
    left_wrist: np.ndarray | None = None
    """(T, 3, 3) the hand as a whole, camera axes."""
    left_hand_transl: np.ndarray | None = None
    """(T, 3) m, origin of the hand's own model in camera axes."""
    left_hand_points: np.ndarray | None = None
    """(T, 21, 3) m, camera axes, in the order of the detector's hand points."""
    right_hand_known: np.ndarray | None = None
    right_hand_pose: np.ndarray | None = None
    right_wrist: np.ndarray | None = None
    right_hand_transl: np.ndarray | None = None
    right_hand_points: np.ndarray | None = None
    face_known: np.ndarray | None = None
    head: np.ndarray | None = None
    """(T, 3, 3) camera axes."""
    head_transl: np.ndarray | None = None
    """(T, 3) m, FLAME's origin in camera axes."""
    expression: np.ndarray | None = None
    """(T, 50) FLAME coefficients; kept for FLAME bodies, the embedded body has other units."""
    jaw: np.ndarray | None = None
    """(T, 3) axis-angle [rad], FLAME's jaw joint; x opens."""
    eyelid: np.ndarray | None = None
    """(T, 2) left, right: 0 open, 1 closed."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what is known by field name; `Coarse(**arrays)` is the same again."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    def over(self, other: "Coarse") -> "Coarse":
        """Return this estimate, with the parts that it does not speak of taken from another."""
        taken = {}
        for part, names in PARTS.items():
            if getattr(self, f"{part}_known") is None:
                taken |= {name: getattr(other, name) for name in (f"{part}_known", *names)}
        return replace(self, K=other.K if self.K is None else self.K, **taken)


class Estimator(Protocol):
    """Estimates poses in consecutive frames of one shot."""

    name: str

    def estimate(self, frames: Iterator[np.ndarray], seen: Detections) -> Coarse:
        """Estimate from uint8 RGB frames (H, W, 3) of one size, and what a detector saw in the same frames."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """The parameters that an estimate can replace, as `emosh_core.tracker.refine.Parameters` has them."""

    root: Tensor
    """(T, 3, 3) world axes."""
    body_pose: Tensor
    """(T, 21, 3) axis-angle [rad]."""
    left_hand_pose: Tensor
    """(T, 15, 3)."""
    right_hand_pose: Tensor
    """(T, 15, 3)."""
    expression: Tensor
    """(T, E) ARKit units."""


def merge(coarse: Coarse, start: Start, units: tuple[str, ...] = ()) -> Start:
    """Replace a start by an estimate wherever that is known; the arguments are not changed.

    The body first, then head and wrists, which are given against the camera and so depend on the arm
    and the spine that they hang from: one half of the head's turn goes to the neck, and a hand's turn
    about the forearm goes to the elbow joint, as in the closed form.

    Args:
        coarse: T frames.
        start: T frames.
        units: names of the expression's units; of FLAME's face only the eyelids (eyeBlinkLeft and -Right) and
            the jaw's opening (jawOpen) have a counterpart among them.
    """
    root, pose, expression = start.root.clone(), start.body_pose.clone(), start.expression.clone()
    hands = {side: getattr(start, f"{side}_hand_pose").clone() for side in WRISTS}
    if coarse.body_known is not None:
        known = torch.from_numpy(coarse.body_known)
        root[known] = (CAM_TO_WORLD @ _tensor(coarse.root))[known]
        pose[known] = _tensor(coarse.body_pose)[known]
    if coarse.face_known is not None:
        known = torch.from_numpy(coarse.face_known)
        _turn_head(pose, root, CAM_TO_WORLD @ _tensor(coarse.head), known)
        _move_face(expression, units, coarse, known)
    for side in WRISTS:
        if getattr(coarse, f"{side}_hand_known") is not None:
            known = torch.from_numpy(getattr(coarse, f"{side}_hand_known"))
            hands[side][known] = _tensor(getattr(coarse, f"{side}_hand_pose"))[known]
            _turn_wrist(pose, root, side, CAM_TO_WORLD @ _tensor(getattr(coarse, f"{side}_wrist")), known)
    return Start(
        root=root, body_pose=pose, expression=expression, left_hand_pose=hands["left"], right_hand_pose=hands["right"]
    )


def place(coarse: Coarse, K: Tensor) -> Tensor:
    """Return where an estimate puts the pelvis (T, 3) [m] in camera axes, seen through another camera.

    The pixel stays and the depth grows with the focal length, because the picture of the person stays as large.

    Args:
        coarse: with `transl` and `K`.
        K: (3, 3) px of the camera that is used.
    """
    old, at = _tensor(coarse.K), _tensor(coarse.transl)
    ray = (at[:, :2] / at[:, 2:] * old[[0, 1], [0, 1]] + old[:2, 2] - K[:2, 2]) / K[[0, 1], [0, 1]]
    depth = at[:, 2:] * K[1, 1] / old[1, 1]
    return torch.cat([ray * depth, depth], -1)


def deepen(seen: Detections, coarse: Coarse, K: np.ndarray) -> Detections:
    """Return detections whose hands have the depth of an estimate's own points, where it has any.

    Args:
        seen: T frames.
        coarse: T frames.
        K: (3, 3) px.
    """
    depth = seen.depth.copy()
    for side in WRISTS:
        points, known = getattr(coarse, f"{side}_hand_points"), getattr(coarse, f"{side}_hand_known")
        if points is not None:
            behind = points[known, :, 2] - points[known, :1, 2]
            depth[known, keypoint_slice(f"{side}_hand")] = behind * K[1, 1] / points[known, :1, 2]
    return replace(seen, depth=depth)


def _turn_head(pose: Tensor, root: Tensor, head: Tensor, known: Tensor) -> None:
    """Set neck and head in `pose` so that the head's world rotation is `head` (T, 3, 3)."""
    bend = roma.rotmat_to_rotvec(_chain(pose, root, PARENTS[NECK]).mT @ head) / 2
    pose[known, NECK - 1] = bend[known]
    pose[known, HEAD - 1] = bend[known]


def _turn_wrist(pose: Tensor, root: Tensor, side: str, hand: Tensor, known: Tensor) -> None:
    """Set forearm and wrist in `pose` so that the hand's world rotation is `hand` (T, 3, 3)."""
    wrist, elbow = WRISTS[side], ELBOWS[side]
    local = _chain(pose, root, elbow).mT @ hand
    quat = roma.rotmat_to_unitquat(local)  # x y z w
    twist = (2 * torch.atan2(quat[:, 0], quat[:, 3]) + torch.pi) % (2 * torch.pi) - torch.pi
    turn = roma.rotvec_to_rotmat(torch.stack([twist, 0 * twist, 0 * twist], -1))
    bent = roma.rotvec_to_rotmat(pose[:, elbow - 1]) @ turn
    pose[known, elbow - 1] = roma.rotmat_to_rotvec(bent)[known]
    pose[known, wrist - 1] = roma.rotmat_to_rotvec(turn.mT @ local)[known]


def _chain(pose: Tensor, root: Tensor, joint: int) -> Tensor:
    """World rotation (T, 3, 3) of a body joint."""
    if joint == 0:
        return root
    return _chain(pose, root, PARENTS[joint]) @ roma.rotvec_to_rotmat(pose[:, joint - 1])


def _move_face(expression: Tensor, units: tuple[str, ...], coarse: Coarse, known: Tensor) -> None:
    values = {"jawOpen": _tensor(coarse.jaw)[:, 0] / JAW_OPEN}
    values |= {f"eyeBlink{side}": _tensor(coarse.eyelid)[:, i] for i, side in enumerate(("Left", "Right"))}
    for name, value in values.items():
        if name in units:
            expression[known, units.index(name)] = value[known].clip(0, 1)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
