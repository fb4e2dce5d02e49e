"""The objective as its equation; `refine` minimises it with derivatives of its own, which tests hold to this one."""

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.body.ehm import EhmModel
from emosh_core.geometry.camera import project
from emosh_core.tracker import losses, marks, priors
from emosh_core.tracker.contacts import SOLES
from emosh_core.tracker.initialize import CAM_TO_WORLD, LIMBS
from emosh_core.tracker.parameters import Observations, Parameters

TRUNK = {(1, 16): (23, 11), (2, 17): (24, 12), (1, 2): (23, 24), (16, 17): (11, 12)}
"""Lines of the trunk, as joints and as the detector's points: its sides, hips and shoulders."""
BONES = torch.tensor([pair for (a, b, c), _ in LIMBS.values() for pair in ((a, b), (b, c))] + list(TRUNK))
BONE_MARKS = [pair for _, (a, b, c) in LIMBS.values() for pair in ((a, b), (b, c))] + list(TRUNK.values())
SIGMA = torch.cat([
    marks.body_sigma() if part == "body" else torch.full((n,), losses.SIGMA[part]) for part, n in KEYPOINTS.items()
])  # fmt: skip
"""Expected error of each point [m]."""
NOISE = torch.cat([torch.full((n,), losses.PIXEL_NOISE[part]) for part, n in KEYPOINTS.items()])
"""The part of it that does not depend on the person's size [px]."""
STEADY_JOINTS = 25  # body, jaw and eyes: fingers hang on the wrists
SOLE_MARKS = tuple(mark for marks_ in SOLES.values() for mark in marks_)
SMOOTH = {"joints": 0.010, "body_pose": 0.07, "hand_pose": 0.15, "expression": 0.2, "eye_pose": 0.08}
"""Second differences per frame² at 30 frames/s that are expected [m, rad, –]."""


def objective(
    p: Parameters, seen: Observations, body: EhmModel, weights: dict[str, float], reach: float = 1.0
) -> Tensor:
    """L = λ_kpt L_kpt + λ_3d L_hand3D + λ_reg L_reg + λ_smooth L_smooth, a sum over frames."""
    p = replace(p, expression=p.expression * face_units(body.expression_names).free)
    posed = body.with_shape(p.betas_body, p.betas_head).with_rotmats(p.rotmats(), p.expression, p.transl)
    turn = CAM_TO_WORLD.to(posed.joints)
    points, joints = marks.on_body(posed) @ turn, posed.joints @ turn
    scale = seen.K[0, 0] / (-p.transl[:, 2])
    keypoints = losses.keypoint_loss(project(points, seen.K), seen.pixels, seen.weight, seen.metre, SIGMA, NOISE, reach)
    hands = sum(
        losses.hand_loss(points[:, s], seen.pixels[:, s], seen.depth[:, s], seen.weight[:, s], scale, seen.metre, reach)
        for s in map(keypoint_slice, ("left_hand", "right_hand"))
    )
    plausible = _plausible(p, seen, face_units(body.expression_names)) + _contacts(points, seen, reach)
    plausible = plausible + losses.direction_loss(joints, BONES, seen.directions, seen.direction_weight)
    smooth = sum(
        losses.smoothness_loss(values, SMOOTH[name], seen.rate, seen.joined * factor, reach)
        for name, values, factor in steadied(p, posed.joints, seen)
    )
    return weights["kpt"] * keypoints + weights["3d"] * hands + weights["reg"] * plausible + weights["smooth"] * smooth


@dataclass(frozen=True, eq=False)
class FaceUnits:
    """What is sensible of each unit of an expression (E,)."""

    free: Tensor
    """bool, units that are estimated: gaze belongs to `eye_pose`, the tongue has no landmark."""
    spread: Tensor
    """Standard deviation around rest."""
    low: Tensor
    high: Tensor


@cache
def face_units(names: tuple[str, ...]) -> FaceUnits:
    """Return what holds for units by their names: ARKit's go from 0 to 1, FLAME's are standard deviations."""
    flame = torch.tensor([name.startswith("flame") for name in names])
    return FaceUnits(
        free=torch.tensor([not name.startswith(("eyeLook", "tongue")) for name in names]),
        spread=torch.where(flame, 1.0, 0.3), low=torch.where(flame, -2.5, 0.0), high=torch.where(flame, 2.5, 1.0),
    )  # fmt: skip


def steadied(p: Parameters, joints: Tensor, seen: Observations) -> list[tuple[str, Tensor, Tensor]]:
    """Return what L_smooth keeps steady: its name in SMOOTH, values (T, N, D), and factors (T − 2, N or 1)."""
    body = seen.doubt(priors.BODY_PARTS)[1:-1]
    return [
        ("joints", joints[:, :STEADY_JOINTS], torch.ones_like(body[:, :1])),
        ("body_pose", p.body_pose, body),
        ("hand_pose", p.left_hand_pose, seen.doubt(("left_hand",))[1:-1]),
        ("hand_pose", p.right_hand_pose, seen.doubt(("right_hand",))[1:-1]),
        ("expression", p.expression[..., None], seen.doubt(("face",))[1:-1]),
        ("eye_pose", p.eye_pose, seen.doubt(("face",))[1:-1]),
    ]


def resting(seen: Observations) -> Tensor:
    """Return which soles rest in a frame and the next (T − 1, 4)."""
    both = seen.planted[1:] & seen.planted[:-1] & ~seen.begins[1:, None]
    return both.to(seen.weight)


def _contacts(points: Tensor, seen: Observations, reach: float) -> Tensor:
    hands = (points[:, keypoint_slice(f"{side}_hand")] for side in ("left", "right"))
    rows = torch.arange(len(points))
    left, right = (hand[rows, seen.touching[:, k]] for k, hand in enumerate(hands))
    touch = seen.touch.to(points)
    return losses.contact_loss(points[:, list(SOLE_MARKS)], resting(seen), left, right, touch, seen.rate, reach)


def _plausible(p: Parameters, seen: Observations, units: FaceUnits) -> Tensor:
    """L_reg: priors and limits of body, hands, eyes and face."""
    face = seen.doubt(("face",))
    total = losses.prior_loss(p.body_pose, seen.body_mean, priors.body_spread(), seen.doubt(priors.BODY_PARTS))
    total = total + losses.limit_loss(p.body_pose, *priors.body_limits())
    for side, pose in (("left", p.left_hand_pose), ("right", p.right_hand_pose)):
        doubt, mean = seen.doubt((f"{side}_hand",)), getattr(seen, f"{side}_hand_mean")
        total = total + losses.prior_loss(pose, mean, torch.tensor(losses.FINGER_SPREAD), doubt)
        total = total + losses.limit_loss(pose, *priors.hand_limits(side))
    total = total + losses.prior_loss(p.eye_pose, torch.tensor(0.0), torch.tensor(losses.EYE_SPREAD), face)
    return total + losses.expression_loss(p.expression, face, units.spread, units.low, units.high)
