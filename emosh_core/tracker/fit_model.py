"""The body that the fit works on: landmarks of whichever body model, linear in shape and expression.

The embedded body is that already. SMPL-X with FLAME's head becomes it by leaving out the pose correctives (a few
millimetres near bent joints) and by taking the jaw's turn as one more unit of the expression, straight, not round.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.body.ehm import EhmModel, PosedBody
from emosh_core.body.joints import JOINT_NAMES
from emosh_core.body.smplx import SmplxModel
from emosh_core.tracker.estimators.protocol import JAW_OPEN

BODY_COMPONENTS, HEAD_COMPONENTS, FACE_COMPONENTS = 32, 64, 50
"""Leading components of SMPL-X's and FLAME's spaces that are estimated; the others stay 0."""
JAW_AT = 0.25
"""[rad] the jaw's turn at which its path is made straight."""


@dataclass(frozen=True, eq=False)
class FitModel:
    """A body model and its stand-in."""

    model: EhmModel | SmplxModel
    """What the artifact is about."""
    linear: EhmModel
    """What is fitted."""
    present: Tensor
    """(553,) bool, landmarks that the model places."""

    def face(self, expression: Tensor) -> dict[str, np.ndarray]:
        """Return a fitted expression (T, E) as a motion has it: expression, eyelid, jaw_pose."""
        names = self.linear.expression_names
        blink = expression[:, [names.index(f"eyeBlink{side}") for side in ("Left", "Right")]].clip(0, 1).numpy()
        jaw = np.zeros((len(expression), 3), np.float32)
        if isinstance(self.model, EhmModel):
            return {"expression": expression.clip(0, 1).numpy(), "eyelid": blink, "jaw_pose": jaw}
        jaw[:, 0] = JAW_OPEN * expression[:, names.index("jawOpen")].clip(0, 1).numpy()
        return {"expression": expression[:, :FACE_COMPONENTS].numpy(), "eyelid": blink, "jaw_pose": jaw}


def fit_model(model: EhmModel | SmplxModel) -> FitModel:
    """Return what the tracker fits for a body model."""
    if isinstance(model, EhmModel):
        return FitModel(model, model, torch.ones(sum(KEYPOINTS.values()), dtype=torch.bool))
    return FitModel(model, _linear(model), model.landmark_present)


def _linear(model: SmplxModel) -> EhmModel:
    """Return SMPL-X and FLAME as a linear body; joints, on which landmarks lie too, are vertices of their own."""
    count, eye = len(model.template), torch.eye(BODY_COMPONENTS + HEAD_COMPONENTS).to(model.template)
    basis = torch.cat([torch.zeros_like(eye[:1]), eye])
    shaped = model.with_shape(basis[:, :BODY_COMPONENTS], basis[:, BODY_COMPONENTS:])
    points = torch.cat([shaped.rest_verts, shaped.rest_joints], 1)
    moved = (points[1:] - points[0]).permute(1, 2, 0)
    body_dirs, head_dirs = moved[..., :BODY_COMPONENTS].contiguous(), moved[..., BODY_COMPONENTS:]
    heads = torch.nonzero(head_dirs.abs().amax((1, 2)) > 0)[:, 0]
    units, face_dirs = _expressions(model)
    own_joint = torch.eye(len(JOINT_NAMES)).to(model.template)
    weights = torch.nn.functional.pad(model.landmark_weights, (0, 3))
    return EhmModel(
        name=model.name, fingerprint=model.fingerprint, template=points[0],
        faces=model.faces, lbs_weights=torch.cat([model.lbs_weights, own_joint]), body_dirs=body_dirs,
        head_verts=heads, head_dirs=head_dirs[heads].contiguous(), expression_verts=model.head_verts,
        expression_dirs=face_dirs, head_mask=torch.nn.functional.pad(model.head_mask, (0, len(JOINT_NAMES))),
        joints=shaped.rest_joints[0], joint_body_dirs=body_dirs[count:], joint_head_dirs=head_dirs[count:],
        rest_rot=model.rest_rot, landmark_verts=torch.nn.functional.pad(model.landmark_rows, (0, 3)),
        landmark_weights=weights, expression_names=units, joint_names=model.joint_names,
        uv=points.new_zeros(0, 2), face_uv=model.faces[:0], face_part=model.face_part, part_names=model.part_names,
        kept_verts=torch.arange(count + len(JOINT_NAMES)), sources=model.sources,
    )  # fmt: skip


def _expressions(model: SmplxModel) -> tuple[tuple[str, ...], Tensor]:
    """Return units and how each moves FLAME's vertices (H, 3, E): its expression, both eyelids, the jaw."""
    components = min(FACE_COMPONENTS, model.head.expression_dirs.shape[-1])
    total = components + 3
    zero = torch.zeros(1).to(model.template)
    shaped = model.with_shape(zero, zero)
    amounts = torch.cat([torch.zeros(1, total), torch.eye(total)]).to(model.template)
    turns = torch.eye(3).to(model.template).repeat(total + 1, 3, 1, 1)
    angle = torch.tensor(JAW_AT).to(model.template)
    c, s = angle.cos(), angle.sin()
    turns[-1, 0] = torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]]).to(model.template)
    head = shaped._head(turns, amounts[:, :components], amounts[:, components : components + 2])
    moved = (head[1:] - head[0]).permute(1, 2, 0).contiguous()
    moved[..., -1] *= JAW_OPEN / JAW_AT
    names = (*(f"flame{i:02d}" for i in range(components)), "eyeBlinkLeft", "eyeBlinkRight", "jawOpen")
    return names, moved


def at_rest(body: EhmModel, betas_body: Tensor, betas_head: Tensor) -> PosedBody:
    """Return somebody in the zero pose, one frame."""
    still = torch.eye(3).to(body.template).expand(1, len(JOINT_NAMES), 3, 3)
    zero = lambda size: torch.zeros(1, size).to(body.template)  # noqa: E731
    return body.with_shape(betas_body, betas_head).with_rotmats(still, zero(len(body.expression_names)), zero(3))


def known_points(model: FitModel, confidence: np.ndarray) -> np.ndarray:
    """Return confidence (T, 553) that is 0 where the model has no such landmark."""
    return np.where(model.present.numpy(), confidence, 0).astype(np.float32)


def has_eyelids(model: FitModel) -> bool:
    """Say whether every face point is there: without the lids' own points they are not measured."""
    return bool(model.present[keypoint_slice("face")].all())
