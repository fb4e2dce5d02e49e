"""A linear blend model as the files of SMPL-X and FLAME state it; tests hold its forward pass to the smplx package's.

verts = skin(template + shape_dirs β + expression_dirs ψ + pose_dirs (R − I)), with joints regressed before `pose_dirs`.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from emosh_kernels.skin import Binding, bind, skin
from torch import Tensor

from emosh_core.body.skinning import away_from_rest, displace, forward_kinematics


@dataclass(frozen=True, kw_only=True, eq=False)
class Rig:
    """Template, directions, skeleton and skin weights of V vertices and J joints."""

    template: Tensor
    """(V, 3) [m]."""
    shape_dirs: Tensor
    """(V, 3, S) [m per standard deviation]."""
    expression_dirs: Tensor
    """(V, 3, E) [m per standard deviation]."""
    pose_dirs: Tensor
    """(V, 3, 9 (J − 1)) [m]: what each entry of a joint's rotation matrix, less the identity, adds; not the root's."""
    lbs_weights: Tensor
    """(V, J)."""
    joints: Tensor
    """(J, 3) [m], regressed from the template."""
    joint_shape_dirs: Tensor
    """(J, 3, S)."""
    joint_expression_dirs: Tensor
    """(J, 3, E)."""
    parents: tuple[int, ...]

    @cached_property
    def binding(self) -> Binding:
        """`lbs_weights` as skinning reads them."""
        return bind(self.lbs_weights)

    def shaped(self, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Return vertices (*B, V, 3) and joints (*B, J, 3) [m] of an identity betas (*B, S)."""
        return self.template + displace(self.shape_dirs, betas), self.joints + displace(self.joint_shape_dirs, betas)

    def expressed(self, verts: Tensor, joints: Tensor, expression: Tensor) -> tuple[Tensor, Tensor]:
        """Add an expression (T, E) to what `shaped` returned; it moves joints too."""
        moved, shifted = displace(self.expression_dirs, expression), displace(self.joint_expression_dirs, expression)
        return verts + moved, joints + shifted

    def correctives(self, rotmats: Tensor) -> Tensor:
        """Return what the rotations (T, J, 3, 3) relative to the parents add to the resting vertices (T, V, 3) [m]."""
        eye = torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)
        return displace(self.pose_dirs, (rotmats[:, 1:] - eye).flatten(1))

    def posed(self, verts: Tensor, joints: Tensor, rotmats: Tensor) -> tuple[Tensor, Tensor]:
        """Pose resting vertices (*B, V, 3) and joints (*B, J, 3) by rotations (T, J, 3, 3) relative to the parents.

        Returns:
            Vertices (T, V, 3) and joints (T, J, 3) [m]; the root joint stays where it rests.
        """
        bones = joints[..., 1:, :] - joints[..., list(self.parents[1:]), :]
        bones = torch.cat([torch.zeros_like(bones[..., :1, :]), bones], -2)
        root = joints[..., 0, :].expand(len(rotmats), 3)
        turned, placed = forward_kinematics(rotmats, bones, root, self.parents)
        rest = verts + self.correctives(rotmats)
        return skin(rest, self.binding, away_from_rest(turned, joints, placed)), placed

    def at(self, rows: Tensor) -> "Rig":
        """Return the rig of some vertices (N,); the skeleton stays."""
        per_vertex = ("template", "shape_dirs", "expression_dirs", "pose_dirs", "lbs_weights")
        return replace(self, **{name: getattr(self, name)[rows] for name in per_vertex})

    def about_root(self) -> "Rig":
        """Return the same with the root joint at the origin for every identity and expression."""
        return replace(
            self, template=self.template - self.joints[0], shape_dirs=self.shape_dirs - self.joint_shape_dirs[0],
            expression_dirs=self.expression_dirs - self.joint_expression_dirs[0], joints=self.joints - self.joints[0],
            joint_shape_dirs=self.joint_shape_dirs - self.joint_shape_dirs[0],
            joint_expression_dirs=self.joint_expression_dirs - self.joint_expression_dirs[0],
        )  # fmt: skip
