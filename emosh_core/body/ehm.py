"""The Expressive Human Model in immutable stages: model → shaped body → posed body."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from emosh_kernels.rasterize import mesh_edges
from emosh_kernels.skin import Binding, bind, skin
from torch import Tensor

from emosh_core.artifacts import Shape, keypoint_slice
from emosh_core.body.joints import EYES, HANDS, HEAD, JAW, PARENTS, WRISTS
from emosh_core.body.pose import Pose
from emosh_core.body.skinning import away_from_rest, displace, forward_kinematics, scale_part


@dataclass(frozen=True, kw_only=True, eq=False)
class EhmModel:
    """A body model: template, identity and expression directions, skeleton, skin weights, landmarks.

    Axes: x to the subject's left, y up, z forward; metres. The template rests in an A-pose;
    `rest_rot` turns it into the T-pose that the zero pose means.
    """

    name: str
    fingerprint: str
    """sha256 of the file the model was read from."""
    template: Tensor
    """(V, 3) mean body at rest [m]."""
    faces: Tensor
    """(F, 3) int64; empty in a landmark body."""
    lbs_weights: Tensor
    """(V, 55)."""
    body_dirs: Tensor
    """(V, 3, 32) [m per standard deviation]."""
    head_verts: Tensor
    """(H,) the vertices that `head_dirs` moves."""
    head_dirs: Tensor
    """(H, 3, 64) [m per standard deviation]."""
    expression_verts: Tensor
    """(E,) the vertices that `expression_dirs` moves."""
    expression_dirs: Tensor
    """(E, 3, 52) [m at weight 1]."""
    head_mask: Tensor
    """(V,) in [0, 1]: how much of a vertex is head."""
    joints: Tensor
    """(55, 3) mean joints at rest [m]; the pelvis is the origin for every identity."""
    joint_body_dirs: Tensor
    """(55, 3, 32)."""
    joint_head_dirs: Tensor
    """(55, 3, 64)."""
    rest_rot: Tensor
    """(55, 3, 3) from rest to the zero pose, per joint."""
    landmark_verts: Tensor
    """(N, 6) vertices of each landmark, in the order of `artifacts.KEYPOINTS`."""
    landmark_weights: Tensor
    """(N, 6), rows sum to 1."""
    expression_names: tuple[str, ...]
    joint_names: tuple[str, ...]
    uv: Tensor
    """(U, 2) texture coordinates, v points up."""
    face_uv: Tensor
    """(F, 3) rows of `uv`."""
    face_part: Tensor
    """(F,) index into `part_names`."""
    part_names: tuple[str, ...]
    kept_verts: Tensor
    """(V,) which vertices of the full mesh these are, ascending."""
    sources: tuple[str, ...]
    """What the model was made from, with versions and licences."""

    @property
    def landmark_present(self) -> Tensor:
        """(N,) bool: all; other body models lack some."""
        return torch.ones(len(self.landmark_verts), dtype=torch.bool, device=self.landmark_verts.device)

    @cached_property
    def edges(self) -> Tensor:
        """(E, 7) int32, see `emosh_kernels.rasterize.mesh_edges`."""
        return mesh_edges(self.faces)

    @cached_property
    def binding(self) -> Binding:
        """`lbs_weights` as skinning reads them."""
        return bind(self.lbs_weights)

    def with_shape(
        self, betas_body: Tensor, betas_head: Tensor, head_scale: Tensor | float = 1.0, hand_scale: Tensor | float = 1.0
    ) -> "ShapedBody":
        """Give the model an identity.

        Args:
            betas_body: (*B, 32) in standard deviations; *B is () or (T,).
            betas_head: (*B, 64).
            head_scale: () or (*B), scales the head about the head joint.
            hand_scale: () or (*B), scales each hand about its wrist.
        """
        verts = self.template + displace(self.body_dirs, betas_body)
        verts = verts.index_add(-2, self.head_verts, displace(self.head_dirs, betas_head))
        joints = self.joints + displace(self.joint_body_dirs, betas_body) + displace(self.joint_head_dirs, betas_head)
        scale = torch.as_tensor(head_scale, dtype=verts.dtype, device=verts.device)[..., None, None]
        head_gain = 1 + self.head_mask[:, None] * (scale - 1)
        verts, joints = scale_part(verts, joints, self.head_mask, HEAD, (JAW, *EYES), head_scale)
        for side, wrist in WRISTS.items():
            share = self.lbs_weights[:, [wrist, *HANDS[side]]].sum(1)
            verts, joints = scale_part(verts, joints, share, wrist, tuple(HANDS[side]), hand_scale)
        return ShapedBody(
            model=self, rest_verts=verts, rest_joints=joints, expression_gain=head_gain[..., self.expression_verts, :]
        )

    def with_shape_of(self, shape: Shape) -> "ShapedBody":
        """Give the model the identity of a `shape` artifact."""
        as_tensor = lambda values: torch.as_tensor(values, dtype=self.template.dtype, device=self.template.device)  # noqa: E731
        return self.with_shape(
            as_tensor(shape.betas_body), as_tensor(shape.betas_head), shape.head_scale, shape.hand_scale
        )

    def for_landmarks(self, also: Tensor | None = None) -> "EhmModel":
        """Return the same model with only the vertices that landmarks touch: cheap to optimise through.

        Args:
            also: (N,) further vertices to keep; `kept_verts` says where they are afterwards.
        """
        wanted = self.landmark_verts.flatten()
        used = torch.unique(wanted if also is None else torch.cat([wanted, also]))
        landmark_verts = torch.searchsorted(used, self.landmark_verts)
        place = torch.full((len(self.template),), -1, dtype=torch.long, device=used.device)
        place[used] = torch.arange(len(used), device=used.device)
        head, expression = place[self.head_verts] >= 0, place[self.expression_verts] >= 0
        return replace(
            self, template=self.template[used], faces=self.faces[:0], lbs_weights=self.lbs_weights[used],
            body_dirs=self.body_dirs[used], head_mask=self.head_mask[used],
            head_verts=place[self.head_verts[head]], head_dirs=self.head_dirs[head],
            expression_verts=place[self.expression_verts[expression]],
            expression_dirs=self.expression_dirs[expression],
            landmark_verts=landmark_verts, face_uv=self.face_uv[:0], face_part=self.face_part[:0], kept_verts=used,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class ShapedBody:
    """Somebody at rest."""

    model: EhmModel
    rest_verts: Tensor
    """(*B, V, 3) [m]."""
    rest_joints: Tensor
    """(*B, 55, 3) [m]."""
    expression_gain: Tensor
    """(*B, E, 1): expressions grow with the head."""

    def with_pose(self, pose: Pose) -> "PosedBody":
        """Pose the body in the T frames of `pose`."""
        return self.with_rotmats(pose.rotmats(), pose.expression, pose.transl)

    def with_rotmats(self, rotmats: Tensor, expression: Tensor, transl: Tensor) -> "PosedBody":
        """Pose the body by rotation matrices.

        Args:
            rotmats: (T, 55, 3, 3) relative to the parent joint; identities are the T-pose.
            expression: (T, 52) weights of the expression units.
            transl: (T, 3) [m], added to the rest pelvis.
        """
        model = self.model
        turned, joints = self.place_joints(rotmats, transl)
        moved = displace(model.expression_dirs, expression) * self.expression_gain
        rest = self.rest_verts.expand(len(rotmats), -1, -1).index_add(-2, model.expression_verts, moved)
        verts = skin(rest, model.binding, self.away_from_rest(turned, joints))
        return PosedBody(model=model, verts=verts, joints=joints, rotmats=turned)

    def thinned(self, model: EhmModel) -> "ShapedBody":
        """Return the same person with the few vertices of a model that `for_landmarks` made of this person's."""
        kept = model.kept_verts
        grown = torch.isin(self.model.expression_verts, kept)
        return ShapedBody(model=model, rest_verts=self.rest_verts[..., kept, :], rest_joints=self.rest_joints,
                          expression_gain=self.expression_gain[..., grown, :])  # fmt: skip

    def place_joints(self, rotmats: Tensor, transl: Tensor) -> tuple[Tensor, Tensor]:
        """Chain joint rotations (T, 55, 3, 3) relative to the parents, from a pelvis moved by transl (T, 3) [m].

        Returns:
            Rotations away from the zero pose in world axes (T, 55, 3, 3) and joints (T, 55, 3) [m].
        """
        rest_rot, parents = self.model.rest_rot, list(PARENTS[1:])
        bones = self.rest_joints[..., 1:, :] - self.rest_joints[..., parents, :]
        bones = (rest_rot[parents] @ bones[..., None])[..., 0]
        bones = torch.cat([torch.zeros_like(bones[..., :1, :]), bones], -2)
        return forward_kinematics(rotmats, bones, self.rest_joints[..., 0, :] + transl)

    def away_from_rest(self, turned: Tensor, joints: Tensor) -> Tensor:
        """Return the maps (T, 55, 3, 4) for `emosh_kernels.skin` from what `place_joints` returned."""
        return away_from_rest(turned @ self.model.rest_rot, self.rest_joints, joints)


@dataclass(frozen=True, kw_only=True, eq=False)
class PosedBody:
    """Somebody moving: T frames in world axes."""

    model: EhmModel
    verts: Tensor
    """(T, V, 3) [m]."""
    joints: Tensor
    """(T, 55, 3) [m], SMPL-X order."""
    rotmats: Tensor
    """(T, 55, 3, 3) each joint's rotation away from the zero pose, in world axes."""

    @property
    def faces(self) -> Tensor:
        """(F, 3) triangles, counter-clockwise seen from outside."""
        return self.model.faces

    def landmarks(self, part: str | None = None) -> Tensor:
        """Return MediaPipe's landmarks (T, N, 3) [m]: of one part of `artifacts.KEYPOINTS`, or all in its order."""
        rows = slice(None) if part is None else keypoint_slice(part)
        ids = self.model.landmark_verts[rows]
        corners = self.verts.index_select(1, ids.flatten()).unflatten(1, ids.shape)
        return (self.model.landmark_weights[rows][..., None] * corners).sum(-2)
