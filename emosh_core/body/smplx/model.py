"""SMPL-X with FLAME's head, as the Expressive Human Model: model → shaped body → posed body.

FLAME is bent by identity, expression, eyelids, jaw and eyes first; its head then replaces SMPL-X's in the resting
body, so that the middles of the eyes fall together; SMPL-X's skeleton moves the result.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from emosh_kernels.rasterize import mesh_edges
from emosh_kernels.skin import Binding, skin
from torch import Tensor

from emosh_core.artifacts import Shape, keypoint_slice
from emosh_core.body.ehm import PosedBody
from emosh_core.body.joints import EYES, HANDS, HEAD, JAW, WRISTS
from emosh_core.body.pose import MotionPose, Pose
from emosh_core.body.skinning import away_from_rest, displace, forward_kinematics, scale_part
from emosh_core.body.smplx.rig import Rig
from emosh_core.errors import ArtifactError

FACE = [JAW, *EYES]
HEAD_FACE = [2, 3, 4]
"""FLAME's joints: root, neck, jaw, left eye, right eye."""
HEAD_EYES = [3, 4]


@dataclass(frozen=True, kw_only=True, eq=False)
class SmplxModel:
    """A body model with the names of `EhmModel`, for code that takes either.

    What differs: up to 300 components of body and of head identity, 100 of FLAME's expression (without names
    of their own: code that asks for "jawOpen" wants the embedded body), eyelids apart from the expression, the
    jaw and the eyes as joints, pose correctives. `head_scale` scales about the middle of the eyes, which the
    two models share, not about the head joint. Joints 0 to 21 and the fingers follow `betas_body` alone, so a
    change of head leaves the skeleton as it is. Landmarks lie on vertices and joints; see `landmark_present`.
    No texture coordinates. As in the embedded body the pelvis is the origin for every identity: the `transl` of
    SMPL-X files is ours less where SMPL-X's own pelvis rests.
    """

    name: str
    fingerprint: str
    """sha256 over the files that the model was read from."""
    body: Rig
    """SMPL-X, about its pelvis: V vertices, 55 joints."""
    head: Rig
    """FLAME: the H vertices that replace SMPL-X's, 5 joints."""
    head_verts: Tensor
    """(H,) which of the V vertices these are, ascending."""
    eyelid_dirs: Tensor
    """(H, 3, 2) [m] what closing the left and the right eyelid adds; zeros where the files are missing."""
    faces: Tensor
    """(F, 3) int64; empty in a landmark body."""
    head_mask: Tensor
    """(V,) 1 on the vertices of `head_verts`, else 0."""
    landmark_rows: Tensor
    """(N, 3) of vertices ++ joints, in the order of `artifacts.KEYPOINTS`."""
    landmark_weights: Tensor
    """(N, 3), rows sum to 1."""
    landmark_present: Tensor
    """(N,) bool; the others are unknown and stand at the head joint."""
    face_part: Tensor
    """(F,) index into `part_names`."""
    part_names: tuple[str, ...]
    kept_verts: Tensor
    """(V,) which vertices of the full mesh these are, ascending."""
    joint_names: tuple[str, ...]
    expression_names: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def template(self) -> Tensor:
        """(V, 3) SMPL-X's mean body at rest, with its own head [m]."""
        return self.body.template

    @property
    def lbs_weights(self) -> Tensor:
        """(V, 55)."""
        return self.body.lbs_weights

    @property
    def body_dirs(self) -> Tensor:
        """(V, 3, 300)."""
        return self.body.shape_dirs

    @property
    def head_dirs(self) -> Tensor:
        """(H, 3, 300)."""
        return self.head.shape_dirs

    @property
    def rest_rot(self) -> Tensor:
        """(55, 3, 3) identities: SMPL-X rests in the T-pose that the zero pose means."""
        return torch.eye(3, dtype=self.template.dtype, device=self.template.device).expand(len(self.joint_names), 3, 3)

    @property
    def binding(self) -> Binding:
        """`lbs_weights` as skinning reads them."""
        return self.body.binding

    @cached_property
    def edges(self) -> Tensor:
        """(E, 7) int32, see `emosh_kernels.rasterize.mesh_edges`."""
        return mesh_edges(self.faces)

    def with_shape(
        self, betas_body: Tensor, betas_head: Tensor, head_scale: Tensor | float = 1.0, hand_scale: Tensor | float = 1.0
    ) -> "ShapedSmplx":
        """Give the model an identity.

        Args:
            betas_body: (*B, S ≤ 300) SMPL-X's, in standard deviations; *B is () or (T,). Fewer are filled up with 0.
            betas_head: (*B, S ≤ 300) FLAME's.
            head_scale: () or (*B), scales the head about the middle of the eyes.
            hand_scale: () or (*B), scales each hand about its wrist.
        """
        verts, joints = self.body.shaped(_filled("betas_body", betas_body, self.body_dirs.shape[-1]))
        head_verts, head_joints = self.head.shaped(_filled("betas_head", betas_head, self.head_dirs.shape[-1]))
        head_scale, hand_scale = (
            torch.as_tensor(scale, dtype=verts.dtype, device=verts.device)[..., None, None]
            for scale in (head_scale, hand_scale)
        )
        parts = (verts, joints, head_verts, head_joints, head_scale, hand_scale)
        batch = torch.broadcast_shapes(*(part.shape[:-2] for part in parts))
        verts, joints, head_verts, head_joints, head_scale, hand_scale = (
            part.expand(*batch, *part.shape[-2:]) for part in parts
        )
        eyes = joints[..., list(EYES), :].mean(-2, keepdim=True)
        middle = head_joints[..., HEAD_EYES, :].mean(-2, keepdim=True)
        verts = verts.index_copy(-2, self.head_verts, eyes + head_scale * (head_verts - middle))
        face = eyes + head_scale * (head_joints[..., HEAD_FACE, :] - middle)
        joints = torch.cat([joints[..., :JAW, :], face, joints[..., EYES[1] + 1 :, :]], -2)
        corrective_gain = torch.ones_like(verts[..., :1])
        for side, wrist in WRISTS.items():
            share, scale = self.lbs_weights[:, [wrist, *HANDS[side]]].sum(1), hand_scale[..., 0, 0]
            verts, joints = scale_part(verts, joints, share, wrist, tuple(HANDS[side]), scale)
            corrective_gain = corrective_gain * (1 + share[:, None] * (hand_scale - 1))
        return ShapedSmplx(
            model=self, rest_verts=verts, rest_joints=joints, head_verts=head_verts, head_joints=head_joints,
            head_scale=head_scale, corrective_gain=corrective_gain,
        )  # fmt: skip

    def with_shape_of(self, shape: Shape) -> "ShapedSmplx":
        """Give the model the identity of a `shape` artifact.

        Raises:
            ArtifactError: the shape belongs to another body model.
        """
        if shape.body_model != self.name:
            raise ArtifactError(
                "the shape belongs to another body model", found=f"{shape.body_model}; loaded: {self.name}",
                fix="track again, or load the body model of the artifact",
            )  # fmt: skip
        as_tensor = lambda values: torch.as_tensor(values, dtype=self.template.dtype, device=self.template.device)  # noqa: E731
        return self.with_shape(
            as_tensor(shape.betas_body), as_tensor(shape.betas_head), shape.head_scale, shape.hand_scale
        )

    def for_landmarks(self, also: Tensor | None = None) -> "SmplxModel":
        """Return the same model with only the vertices that landmarks touch: cheap to optimise through.

        Args:
            also: (N,) further vertices to keep; `kept_verts` says where they are afterwards.
        """
        count = len(self.template)
        wanted = self.landmark_rows[self.landmark_rows < count]
        used = torch.unique(wanted if also is None else torch.cat([wanted, also]))
        place = torch.full((count,), -1, dtype=torch.long, device=used.device)
        place[used] = torch.arange(len(used), device=used.device)
        head = place[self.head_verts] >= 0
        joint_place = len(used) + torch.arange(len(self.joint_names), device=used.device)
        return replace(
            self, body=self.body.at(used), head=self.head.at(head), head_verts=place[self.head_verts[head]],
            eyelid_dirs=self.eyelid_dirs[head], faces=self.faces[:0], head_mask=self.head_mask[used],
            landmark_rows=torch.cat([place, joint_place])[self.landmark_rows], face_part=self.face_part[:0],
            kept_verts=used,
        )  # fmt: skip


def _filled(name: str, weights: Tensor, size: int) -> Tensor:
    """Fill components (*B, S) up to `size` with zeros."""
    if weights.shape[-1] > size:
        raise ValueError(f"{name} has {weights.shape[-1]} components, the model {size}")
    return torch.nn.functional.pad(weights, (0, size - weights.shape[-1]))


@dataclass(frozen=True, kw_only=True, eq=False)
class ShapedSmplx:
    """Somebody at rest; see `ehm.ShapedBody`."""

    model: SmplxModel
    rest_verts: Tensor
    """(*B, V, 3) with FLAME's head, neutral [m]."""
    rest_joints: Tensor
    """(*B, 55, 3); jaw and eyes are FLAME's [m]."""
    head_verts: Tensor
    """(*B, H, 3) FLAME's, in its own axes and size [m]."""
    head_joints: Tensor
    """(*B, 5, 3) likewise."""
    head_scale: Tensor
    """(*B, 1, 1)."""
    corrective_gain: Tensor
    """(*B, V, 1): SMPL-X's pose correctives grow with the hands."""

    def with_pose(self, pose: Pose) -> PosedBody:
        """Pose the body in the T frames of `pose`; a `MotionPose` closes the eyelids too."""
        eyelid = pose.eyelid if isinstance(pose, MotionPose) else None
        return self.with_rotmats(pose.rotmats(), pose.expression, pose.transl, eyelid)

    def with_rotmats(
        self, rotmats: Tensor, expression: Tensor, transl: Tensor, eyelid: Tensor | None = None
    ) -> "PosedSmplx":
        """Pose the body by rotation matrices.

        Args:
            rotmats: (T, 55, 3, 3) relative to the parent joint; identities are the T-pose.
            expression: (T, E ≤ 100) FLAME's, in standard deviations; fewer are filled up with 0.
            transl: (T, 3) [m], added to the rest pelvis.
            eyelid: (T, 2) how far the left and the right eyelid is closed, 0..1; open by default.
        """
        model, eye = self.model, torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)
        turned, joints = self.place_joints(rotmats, transl)
        rest = self.rest_verts.expand(len(rotmats), -1, -1)
        rest = rest.index_copy(-2, model.head_verts, self._head(rotmats[:, FACE], expression, eyelid))
        # FLAME has turned jaw and eyes already: for SMPL-X they are part of the stiff head.
        still = eye.expand(len(rotmats), len(FACE), 3, 3)
        local = torch.cat([rotmats[:, :JAW], still, rotmats[:, EYES[1] + 1 :]], 1)
        with_head = turned[:, HEAD, None].expand(-1, len(FACE), -1, -1)
        moving = torch.cat([turned[:, :JAW], with_head, turned[:, EYES[1] + 1 :]], 1)
        rest = rest + self.corrective_gain * model.body.correctives(local)
        verts = skin(rest, model.binding, self.away_from_rest(moving, joints))
        return PosedSmplx(model=model, verts=verts, joints=joints, rotmats=turned)

    def _head(self, face: Tensor, expression: Tensor, eyelid: Tensor | None) -> Tensor:
        """Return FLAME's vertices (T, H, 3) [m] in the resting body.

        Everything that bends the head's surface comes before FLAME's own skinning, eyelids too; the eyes' middle
        moves with an expression, and is held to the body's.
        """
        head = self.model.head
        expression = _filled("expression", expression, head.expression_dirs.shape[-1])
        verts, joints = head.expressed(self.head_verts, self.head_joints, expression)
        if eyelid is not None:
            verts = verts + displace(self.model.eyelid_dirs, eyelid)
        still = torch.eye(3, dtype=face.dtype, device=face.device).expand(len(face), 2, 3, 3)
        verts, joints = head.posed(verts, joints, torch.cat([still, face], 1))
        middle = joints[:, HEAD_EYES].mean(-2, keepdim=True)
        eyes = self.rest_joints[..., list(EYES), :].mean(-2, keepdim=True)
        return eyes + self.head_scale * (verts - middle)

    def thinned(self, model: SmplxModel) -> "ShapedSmplx":
        """Return the same person with the few vertices of a model that `for_landmarks` made of this person's."""
        kept, head = model.kept_verts, torch.isin(self.model.head_verts, model.kept_verts)
        return replace(
            self, model=model, rest_verts=self.rest_verts[..., kept, :], head_verts=self.head_verts[..., head, :],
            corrective_gain=self.corrective_gain[..., kept, :],
        )  # fmt: skip

    def place_joints(self, rotmats: Tensor, transl: Tensor) -> tuple[Tensor, Tensor]:
        """Chain joint rotations (T, 55, 3, 3) relative to the parents, from a pelvis moved by transl (T, 3) [m].

        Returns:
            Rotations away from the zero pose in world axes (T, 55, 3, 3) and joints (T, 55, 3) [m].
        """
        joints, parents = self.rest_joints, self.model.body.parents
        bones = joints[..., 1:, :] - joints[..., list(parents[1:]), :]
        bones = torch.cat([torch.zeros_like(bones[..., :1, :]), bones], -2)
        return forward_kinematics(rotmats, bones, joints[..., 0, :] + transl, parents)

    def away_from_rest(self, turned: Tensor, joints: Tensor) -> Tensor:
        """Return the maps (T, 55, 3, 4) for `emosh_kernels.skin` from what `place_joints` returned."""
        return away_from_rest(turned, self.rest_joints, joints)


@dataclass(frozen=True, kw_only=True, eq=False)
class PosedSmplx(PosedBody):
    """Somebody moving: T frames in world axes."""

    model: SmplxModel

    def landmarks(self, part: str | None = None) -> Tensor:
        """Return MediaPipe's landmarks (T, N, 3) [m]: of one part of `artifacts.KEYPOINTS`, or all in its order.

        Points that `SmplxModel.landmark_present` denies stand at the head joint.
        """
        rows = slice(None) if part is None else keypoint_slice(part)
        ids = self.model.landmark_rows[rows]
        corners = torch.cat([self.verts, self.joints], 1).index_select(1, ids.flatten()).unflatten(1, ids.shape)
        return (self.model.landmark_weights[rows][..., None] * corners).sum(-2)
