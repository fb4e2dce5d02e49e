"""Landmarks and joints as functions of pose, face and shape, with their derivatives in closed form.

A landmark is a mean of skinned vertices, and skinning is linear, so a landmark hangs on a few joints only:

    p = Σ_k R_k r_k + m_k o_k,    r_k = Q_k Σ_v w_v W_vk (x_v − j_k),    m_k = Σ_v w_v W_vk

with a landmark's vertices v and their shares w, skin weights W, rest vertices x and joints j, rest turns Q, and
joints posed by turns R to places o. It equals `PosedBody.landmarks` and needs no vertex. r is linear in expression
and, with the bones, in shape.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import PARENTS
from emosh_core.body.skinning import forward_kinematics

BODY = list(range(22))
"""The joints of the body pose and the root."""
LEAST = 1e-5  # of a landmark: joints that hold less of it are left out


def _ancestors() -> Tensor:
    """(55, 55) bool: row is moved by column."""
    found = torch.eye(len(PARENTS), dtype=torch.bool)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            found[joint] |= found[parent]
    return found


ANCESTORS = _ancestors()


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """N points, held by M pairs of a point and a joint."""

    point: Tensor
    """(M,) which point, ascending."""
    joint: Tensor
    """(M,) which joint."""
    mass: Tensor
    """(M,) m_k."""
    rest: Tensor
    """(M, 3) r_k of the mean shape [m]."""
    rest_dirs: Tensor
    """(M, 3, S) per unit of shape."""
    expression_dirs: Tensor
    """(M, 3, E) per unit of expression; zero where there is no face."""
    count: int

    def of(self, wanted: Tensor) -> "Points":
        """Select points (N',), ascending."""
        place = torch.full((self.count,), -1, dtype=torch.long)
        place[wanted] = torch.arange(len(wanted))
        own = place[self.point] >= 0
        return Points(point=place[self.point[own]], joint=self.joint[own], mass=self.mass[own], rest=self.rest[own],
                      rest_dirs=self.rest_dirs[own], expression_dirs=self.expression_dirs[own],
                      count=len(wanted))  # fmt: skip

    def shaped(self, betas: Tensor) -> "Points":
        """Return the same points with the shape (S,) as their mean."""
        return Points(**{**self._fields(), "rest": self.rest + self.rest_dirs @ betas})

    def _fields(self) -> dict:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @cached_property
    def moved_by(self) -> Tensor:
        """(M, 55) float: which joints move a pair."""
        return ANCESTORS[self.joint].to(self.rest.dtype)


@dataclass(frozen=True, kw_only=True, eq=False)
class Skeleton:
    """Bones in the T-pose."""

    bones: Tensor
    """(55, 3) from the parent [m]; the root's is its rest place."""
    bone_dirs: Tensor
    """(55, 3, S) per unit of shape."""

    def shaped(self, betas: Tensor) -> "Skeleton":
        """Return the skeleton of a shape (S,) as the mean."""
        return Skeleton(bones=self.bones + self.bone_dirs @ betas, bone_dirs=self.bone_dirs)

    def posed(self, rotmats: Tensor, transl: Tensor) -> tuple[Tensor, Tensor]:
        """Return turns (T, 55, 3, 3) and places (T, 55, 3) [m] of the joints."""
        bones = torch.cat([torch.zeros_like(self.bones[:1]), self.bones[1:]])
        return forward_kinematics(rotmats, bones, self.bones[0] + transl)


def landmarks_of(body: EhmModel, verts: Tensor | None = None) -> tuple[Points, Skeleton]:
    """Return a model's landmarks, or some of its vertices (N,), as points, and its skeleton."""
    ids = body.landmark_verts if verts is None else verts[:, None]
    share = body.landmark_weights if verts is None else torch.ones_like(ids, dtype=body.template.dtype)
    used, row = torch.unique(ids, return_inverse=True)
    small = body.for_landmarks(used)
    row = torch.searchsorted(small.kept_verts, used)[row]
    basis = torch.eye(body.body_dirs.shape[-1] + body.head_dirs.shape[-1]).to(body.template)
    basis = torch.cat([torch.zeros_like(basis[:1]), basis])
    shaped = small.with_shape(basis[:, : body.body_dirs.shape[-1]], basis[:, body.body_dirs.shape[-1] :])
    held = share[..., None] * small.lbs_weights[row]  # (N, 6, 55)
    mass = held.sum(1)
    point, joint = (mass > LEAST).nonzero().T
    turn = body.rest_rot[joint]
    first = torch.einsum("mv,bmvc->bmc", held[point, :, joint], shaped.rest_verts[:, row[point]])
    lever = first - mass[point, joint, None] * shaped.rest_joints[:, joint]
    lever = torch.einsum("mcd,bmd->bmc", turn, lever)
    units = torch.zeros(len(small.template), 3, len(body.expression_names)).to(body.template)
    units[small.expression_verts] = small.expression_dirs
    units = torch.einsum("mcd,mv,mvde->mce", turn, held[point, :, joint], units[row[point]])
    parents = list(PARENTS[1:])
    bones = torch.einsum("jcd,bjd->bjc", body.rest_rot[parents],
                         shaped.rest_joints[:, 1:] - shaped.rest_joints[:, parents])  # fmt: skip
    bones = torch.cat([shaped.rest_joints[:, :1], bones], 1)
    dirs = lambda values: (values[1:] - values[0]).permute(1, 2, 0).contiguous()  # noqa: E731
    points = Points(point=point, joint=joint, mass=mass[point, joint], rest=lever[0], rest_dirs=dirs(lever),
                    expression_dirs=units, count=len(ids))  # fmt: skip
    return points, Skeleton(bones=bones[0], bone_dirs=dirs(bones))


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Points of a body in T frames, world axes."""

    points: Points
    turned: Tensor
    """(T, 55, 3, 3)."""
    joints: Tensor
    """(T, 55, 3) [m]."""
    arms: Tensor
    """(T, M, 3) R_k r_k + m_k o_k of each pair."""
    places: Tensor
    """(T, N, 3) [m]."""

    def by_turns(self, joints: list[int], turning: Tensor) -> Tensor:
        """Return how points move as joints turn (T, N, 3, J·3) [m per rad].

        Args:
            joints: J joints.
            turning: (T, J, 3, 3) world axes about which each joint turns by one unit of each of its parameters,
                as columns.
        """
        moved = self.points.moved_by[:, joints]  # (M, J)
        lever = _gathered(self.points, self.arms[:, :, None] * moved[..., None])  # (T, N, J, 3)
        mass = _gathered(self.points, (self.points.mass[:, None] * moved)[None])[0]  # (N, J)
        lever = lever - mass[..., None] * self.joints[:, None, joints]
        along = torch.linalg.cross(turning[:, None].transpose(-1, -2), lever[..., None, :], dim=-1)  # (T, N, J, 3, 3)
        return along.permute(0, 1, 4, 2, 3).flatten(3)

    def by_expression(self) -> Tensor:
        """Return how points move with the expression (T, N, 3, E) [m]."""
        turned = torch.einsum("tmcd,mde->tmce", self.turned[:, self.points.joint], self.points.expression_dirs)
        return _gathered(self.points, turned)

    def by_shape(self, skeleton: Skeleton) -> Tensor:
        """Return how points move with the shape (T, N, 3, S) [m]."""
        moves = self.joints_by_shape(skeleton)
        points = self.points
        turned = torch.einsum("tmcd,mds->tmcs", self.turned[:, points.joint], points.rest_dirs)
        return _gathered(points, turned + points.mass[:, None, None] * moves[:, points.joint])

    def joints_by_shape(self, skeleton: Skeleton) -> Tensor:
        """Return how joints move with the shape (T, 55, 3, S) [m]."""
        moves = [skeleton.bone_dirs[0].expand(len(self.turned), -1, -1)]
        for joint, parent in enumerate(PARENTS[1:], 1):
            moves.append(moves[parent] + self.turned[:, parent] @ skeleton.bone_dirs[joint])
        return torch.stack(moves, 1)


def place(points: Points, turned: Tensor, joints: Tensor, expression: Tensor | None = None) -> Placed:
    """Pose points.

    Args:
        turned, joints: of `Skeleton.posed`.
        expression: (T, E), zero by default.
    """
    rest = points.rest
    if expression is not None:
        rest = rest + (expression @ points.expression_dirs.flatten(0, 1).T).unflatten(-1, points.rest.shape)
    arms = (turned[:, points.joint] @ rest[..., None])[..., 0] + points.mass[:, None] * joints[:, points.joint]
    return Placed(points=points, turned=turned, joints=joints, arms=arms, places=_gathered(points, arms))


def joints_by_turns(turned: Tensor, joints: Tensor, wanted: list[int], turners: list[int], turning: Tensor) -> Tensor:
    """Return how joints move as joints above them turn (T, W, 3, J·3) [m per rad]; see `Placed.by_turns`."""
    moves = ANCESTORS[wanted][:, turners] & (torch.tensor(wanted)[:, None] != torch.tensor(turners))
    lever = (joints[:, wanted, None] - joints[:, None, turners]) * moves[..., None]
    along = torch.linalg.cross(turning[:, None].transpose(-1, -2), lever[..., None, :], dim=-1)
    return along.permute(0, 1, 4, 2, 3).flatten(3)


def body_turning(turned: Tensor, body_pose: Tensor) -> Tensor:
    """Return the world axes (T, 22, 3, 3) about which root and body joints turn; see `Placed.by_turns`.

    The root turns about the world's axes, the others by a change of their axis-angle (T, 21, 3).
    """
    axes = torch.eye(3).to(turned).expand(len(turned), 1, 3, 3)
    return torch.cat([axes, turned[:, [PARENTS[j] for j in BODY[1:]]] @ left_jacobian(body_pose)], 1)


def body_moves(placed: Placed, turning: Tensor, skeleton: Skeleton | None) -> Tensor:
    """Return how points move with place, root and body pose, and with a skeleton also with the shape.

    Returns:
        (T, N, 3, 69) or (T, N, 3, 69 + S), world axes.
    """
    turns = placed.by_turns(BODY, turning)
    moves = [torch.eye(3).to(turns).expand(*turns.shape[:2], 3, 3), turns]
    return torch.cat(moves if skeleton is None else [*moves, placed.by_shape(skeleton)], -1)


def left_jacobian(rotvec: Tensor) -> Tensor:
    """Return J (*, 3, 3) with exp(θ + δ) = exp(J δ) exp(θ) to first order (Barfoot 2017, eq. 7.77)."""
    angle = rotvec.norm(dim=-1, keepdim=True)[..., None].clamp(min=1e-4)
    x, y, z = rotvec.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    eye = torch.eye(3).to(rotvec)
    return eye + (1 - angle.cos()) / angle**2 * skew + (angle - angle.sin()) / angle**3 * skew @ skew


def _gathered(points: Points, pairs: Tensor) -> Tensor:
    """Add up the pairs of each point: (T, M, …) → (T, N, …)."""
    out = pairs.new_zeros(pairs.shape[0], points.count, *pairs.shape[2:])
    return out.index_add_(1, points.point, pairs)
