"""Joint refinement: gradient descent on one objective over pose, place, face, fingers and shape."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import roma
import torch
from torch import Tensor

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.body.ehm import EhmModel
from emosh_core.geometry.camera import project
from emosh_core.tracker import losses, priors, silhouette
from emosh_core.tracker.initialize import CAM_TO_WORLD, LIMBS

EYE_SPREAD = 0.25  # [rad]
FINGER_SPREAD = 0.4  # [rad]
LEARNING_RATE = {
    "root": 0.03, "body_pose": 0.03, "left_hand_pose": 0.04, "right_hand_pose": 0.04, "eye_pose": 0.02,
    "expression": 0.03, "transl": 0.02, "betas_body": 0.05, "betas_head": 0.05,
}  # fmt: skip
INDEPENDENT_FRAMES = 10.0  # how many independent looks at a shape a clip's correlated frames are worth


@dataclass(frozen=True)
class Parameters:
    """Everything that is estimated; the root's rotation is `root` (T, 3, 3), the rest axis-angle [rad]."""

    root: Tensor
    body_pose: Tensor  # (T, 21, 3)
    left_hand_pose: Tensor  # (T, 15, 3)
    right_hand_pose: Tensor  # (T, 15, 3)
    eye_pose: Tensor  # (T, 2, 3)
    expression: Tensor  # (T, E)
    transl: Tensor  # (T, 3) m
    betas_body: Tensor  # (S,)
    betas_head: Tensor  # (S,)

    def frames(self, index) -> "Parameters":
        """Select frames; the shape is shared by all of them."""
        shared = ("betas_body", "betas_head")
        return replace(self, **{k: v[index] for k, v in vars(self).items() if k not in shared})

    def rotmats(self) -> Tensor:
        """Rotations of all 55 joints (T, 55, 3, 3) in SMPL-X order; the jaw rests (jawOpen is an expression)."""
        jaw = torch.zeros_like(self.eye_pose[:, :1])
        rest = torch.cat([self.body_pose, jaw, self.eye_pose, self.left_hand_pose, self.right_hand_pose], 1)
        return torch.cat([self.root[:, None], roma.rotvec_to_rotmat(rest)], 1)


@dataclass(frozen=True)
class Observations:
    """What the parameters must explain, weighted and ready for the losses."""

    pixels: Tensor  # (T, N, 2) px
    weight: Tensor  # (T, N): 0 where a point is not to be trusted
    depth: Tensor  # (T, N) px
    directions: Tensor  # (T, 8, 3) unit vectors, camera axes
    direction_weight: Tensor  # (T, 8)
    K: Tensor  # (3, 3) px
    rate: float  # frames/s over 30

    def frames(self, index) -> "Observations":
        """Select frames."""
        return replace(
            self, **{k: v[index] for k, v in vars(self).items() if isinstance(v, Tensor) and k != "K"}
        )


BONES = torch.tensor([pair for (a, b, c), _ in LIMBS.values() for pair in ((a, b), (b, c))])
BONE_MARKS = [pair for _, (a, b, c) in LIMBS.values() for pair in ((a, b), (b, c))]
SIGMA = torch.cat([torch.full((n,), losses.SIGMA[part]) for part, n in KEYPOINTS.items()])


def refine(
    start: Parameters,
    seen: Observations,
    body: EhmModel,
    *,
    steps: int,
    weights: dict[str, float],
    fit_shape: bool,
    frozen: int = 0,
    reach: float = losses.REACH,
    outlines: silhouette.Matches | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Parameters:
    """Minimise the objective from a start.

    Args:
        start: T frames of parameters.
        seen: what was observed in them.
        body: a model that has the landmarks (`EhmModel.for_landmarks`).
        steps: Adam steps; the learning rate falls along a cosine.
        weights: the λ of the objective: kpt, 3d, reg, smooth.
        fit_shape: also estimate betas; otherwise those of `start` are kept.
        reach: how much wider than at last the robust losses begin; 1 from a start that is already good.
        outlines: where the person's outline should be in these frames.
        frozen: this many frames at the beginning stay as they are (they were fitted in the window before).
    """
    names = [n for n in LEARNING_RATE if fit_shape or not n.startswith("betas")]
    # The root moves by a small rotation on top of its start, so that no angle wraps around.
    delta = {n: torch.zeros_like(start.transl if n == "root" else getattr(start, n)) for n in names}
    for tensor in delta.values():
        tensor.requires_grad_(True)
    depth = _depth(start.transl).mean()
    groups = [
        {"params": [delta[n]], "lr": LEARNING_RATE[n] * (float(depth) if n == "transl" else 1.0)} for n in names
    ]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=0)
    scale = seen.K[0, 0] / _depth(start.transl)
    live = torch.ones(len(start.transl))
    live[:frozen] = 0
    for step in range(steps):
        optimiser.zero_grad(set_to_none=True)
        wide = reach ** max(1 - 1.5 * step / steps, 0)  # graduated non-convexity: wide first, exact at last
        objective(_moved(start, delta, live), seen, body, weights, scale, wide, fit_shape, outlines).backward()
        optimiser.step()
        schedule.step()
        if progress:
            progress(step + 1, steps)
    with torch.no_grad():
        return _moved(start, delta, live)


def objective(
    p: Parameters, seen: Observations, body: EhmModel, weights, pixels_per_metre, reach, fit_shape, outlines=None
) -> Tensor:
    """L = λ_kpt L_kpt + λ_3d L_3d + λ_reg L_reg + λ_smooth L_smooth, a mean over frames."""
    p = replace(p, expression=p.expression * _free_units(body.expression_names))
    posed = body.with_shape(p.betas_body, p.betas_head).with_rotmats(p.rotmats(), p.expression, p.transl)
    points, joints = (x @ CAM_TO_WORLD for x in (posed.landmarks(), posed.joints))
    keypoints = losses.keypoint_loss(project(points, seen.K), seen.pixels, seen.weight, pixels_per_metre, SIGMA, reach)
    if outlines is not None:
        rim = posed.verts @ CAM_TO_WORLD
        keypoints = keypoints + silhouette.outline_loss(rim, outlines, seen.K, pixels_per_metre, reach)
    directions = losses.direction_loss(joints, BONES, seen.directions, seen.direction_weight)
    relief = sum(
        losses.depth_loss(points[:, s], 0, seen.depth[:, s], seen.weight[:, s], pixels_per_metre)
        for s in map(keypoint_slice, ("left_hand", "right_hand"))
    )
    smooth = (
        losses.smoothness_loss(posed.joints[:, :25], 0.03, seen.rate)
        + losses.smoothness_loss(p.left_hand_pose, 0.2, seen.rate)
        + losses.smoothness_loss(p.right_hand_pose, 0.2, seen.rate)
        + losses.smoothness_loss(p.expression[..., None], 0.08, seen.rate)
        + losses.smoothness_loss(p.eye_pose, 0.08, seen.rate)
        + losses.smoothness_loss(p.rotmats()[:, :22].flatten(-2), 0.3, seen.rate)
    )
    total = weights["kpt"] * keypoints + weights["3d"] * (directions + relief) + weights["smooth"] * smooth
    total = total + weights["reg"] * _plausible(p)
    if fit_shape:
        shape = p.betas_body.square().sum() + p.betas_head.square().sum()
        total = total + weights["reg"] * shape / min(INDEPENDENT_FRAMES, len(p.transl))
    return total


@cache
def _free_units(names: tuple[str, ...]) -> Tensor:
    """1 for expression units that are estimated; gaze belongs to `eye_pose`, the tongue has no landmark."""
    return torch.tensor([0.0 if n.startswith(("eyeLook", "tongue")) else 1.0 for n in names])


def _plausible(p: Parameters) -> Tensor:
    """L_reg: priors and limits of body, hands, eyes and face."""
    total = losses.prior_loss(p.body_pose, priors.body_mean(), priors.body_spread())
    total = total + losses.limit_loss(p.body_pose, *priors.body_limits())
    for side, pose in (("left", p.left_hand_pose), ("right", p.right_hand_pose)):
        total = total + losses.prior_loss(pose, priors.hand_mean(side), torch.tensor(FINGER_SPREAD))
        total = total + losses.limit_loss(pose, *priors.hand_limits(side))
    total = total + losses.prior_loss(p.eye_pose, torch.tensor(0.0), torch.tensor(EYE_SPREAD))
    return total + losses.expression_loss(p.expression)


def _moved(start: Parameters, delta: dict[str, Tensor], live: Tensor) -> Parameters:
    """Apply the deltas to the frames that are live (T,)."""
    values = {}
    for name, change in delta.items():
        if not name.startswith("betas"):
            change = change * live.reshape(-1, *[1] * (change.ndim - 1))
        before = getattr(start, name)
        values[name] = roma.rotvec_to_rotmat(change) @ before if name == "root" else before + change
    return replace(start, **values)


def _depth(transl: Tensor) -> Tensor:
    """Distance in front of the camera (T,) [m]."""
    return (-transl[:, 2]).clip(min=0.1)
