"""The vertices that contacts are looked for at: thin samples of hands, head, torso and soles.

Every identity has the same vertices, so a touch found on the driver names the place on the target too.
"""

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from emosh_core.artifacts import Shape
from emosh_core.body.ehm import EhmModel, PosedBody, ShapedBody
from emosh_core.body.joints import HANDS, HEAD, JOINT_NAMES, WRISTS
from emosh_core.body.pose import Pose, zero_pose

SPACING = {"hand": 0.014, "head": 0.013, "torso": 0.020, "heel": 0.012, "ball": 0.012}  # [m]
INNER_PARTS = ("eye", "mouth", "tongue")  # beginnings of part names that nothing outside can touch
PALM = 0.025  # [m] beyond the wrist: what is nearer is forearm to the eye
SOLE = -0.7  # a vertex of the foot is sole if its normal in the T-pose points down more than this
TORSO = [JOINT_NAMES.index(name) for name in ("pelvis", "spine1", "spine2", "spine3", "left_hip", "right_hip")]


@dataclass(frozen=True, kw_only=True, eq=False)
class Probes:
    """A full body model, the same with few vertices, and the named regions among these."""

    full: EhmModel
    body: EhmModel
    regions: dict[str, Tensor]
    """left_hand, right_hand, head, torso, left_heel, left_ball, right_heel, right_ball: rows of `body`."""

    def of(self, shape: Shape) -> "ShapedProbes":
        """Give the probes an identity."""
        rest = self.full.with_shape_of(shape).with_pose(zero_pose())
        normals = _vertex_normals(rest.verts[0], self.full.faces)[self.body.kept_verts]
        return ShapedProbes(probes=self, shaped=self.body.with_shape_of(shape), normals=normals)


@dataclass(frozen=True, kw_only=True, eq=False)
class ShapedProbes:
    """The probes of somebody at rest."""

    probes: Probes
    shaped: ShapedBody
    normals: Tensor
    """(V, 3) unit outward normals in the T-pose."""

    def posed(self, pose: Pose) -> "PosedProbes":
        """Pose the probes in the T frames of `pose`."""
        return PosedProbes(of=self, posed=self.shaped.with_pose(pose))


@dataclass(frozen=True, kw_only=True, eq=False)
class PosedProbes:
    """The probes of somebody moving: T frames in world axes."""

    of: ShapedProbes
    posed: PosedBody

    @property
    def joints(self) -> Tensor:
        """(T, 55, 3) [m]."""
        return self.posed.joints

    def verts(self, region: str) -> Tensor:
        """Return the vertices of a region (T, N, 3) [m]."""
        return self.posed.verts[:, self.of.probes.regions[region]]

    def normals(self, region: str) -> Tensor:
        """Return the outward unit normals of a region (T, N, 3), turned with the joints."""
        rows = self.of.probes.regions[region]
        weights = self.posed.model.lbs_weights[rows]
        # (N, J) · (J, T·9): one matrix product for all frames.
        turns = (weights @ self.posed.rotmats.transpose(0, 1).flatten(1)).unflatten(1, (-1, 3, 3))
        turned = (turns @ self.of.normals[rows, None, :, None])[..., 0]
        return torch.nn.functional.normalize(turned, dim=-1).transpose(0, 1)

    def moved(self, shift: Tensor) -> "PosedProbes":
        """Return the same, moved by a vector (3,) [m]."""
        posed = replace(self.posed, verts=self.posed.verts + shift, joints=self.posed.joints + shift)
        return replace(self, posed=posed)


@functools.lru_cache(maxsize=8)
def probes_of(body: EhmModel) -> Probes:
    """Choose the probes of a full body model."""
    zeros = body.template.new_zeros
    mean = body.with_shape(zeros(body.body_dirs.shape[-1]), zeros(body.head_dirs.shape[-1])).with_pose(zero_pose())
    verts, joints = mean.verts[0], mean.joints[0]
    normals, outer = _vertex_normals(verts, body.faces), _outer(body)
    chosen = {}
    for name, share in _shares(body, verts, joints, normals).items():
        chosen[name] = _thin(verts, share & outer, SPACING[name.split("_")[-1]])
    small = body.for_landmarks(torch.cat(list(chosen.values())))
    regions = {name: torch.searchsorted(small.kept_verts, rows) for name, rows in chosen.items()}
    return Probes(full=body, body=small, regions=regions)


def _shares(body: EhmModel, verts: Tensor, joints: Tensor, normals: Tensor) -> dict[str, Tensor]:
    """Return which vertices (V,) belong to each region."""
    weight = lambda *rows: body.lbs_weights[:, list(rows)].sum(1) > 0.5  # noqa: E731
    beyond = {side: (verts[:, 0] - joints[wrist, 0]).abs() > PALM for side, wrist in WRISTS.items()}
    shares = {f"{side}_hand": weight(wrist, *HANDS[side]) & beyond[side] for side, wrist in WRISTS.items()}
    shares |= {"head": (body.head_mask > 0.5) | weight(HEAD), "torso": weight(*TORSO)}
    for side in ("left", "right"):
        ankle, foot = (JOINT_NAMES.index(f"{side}_{name}") for name in ("ankle", "foot"))
        sole = weight(ankle, foot) & (normals[:, 1] < SOLE)
        shares[f"{side}_heel"] = sole & (verts[:, 2] < joints[ankle, 2] + 0.02)
        shares[f"{side}_ball"] = sole & (verts[:, 2] > joints[foot, 2] - 0.02)
    return shares


def _outer(body: EhmModel) -> Tensor:
    """Return which vertices (V,) lie on the outside."""
    inner = torch.tensor([name.startswith(INNER_PARTS) for name in body.part_names], device=body.faces.device)
    outer = torch.zeros(len(body.template), dtype=torch.bool, device=body.faces.device)
    outer[body.faces[~inner[body.face_part]].flatten()] = True
    return outer


def _vertex_normals(verts: Tensor, faces: Tensor) -> Tensor:
    """Return unit normals (V, 3), the area-weighted mean of the faces around a vertex."""
    a, b, c = verts[faces].unbind(1)
    normals = torch.zeros_like(verts).index_add(
        0, faces.flatten(), torch.cross(b - a, c - a, dim=-1).repeat_interleave(3, 0)
    )
    return torch.nn.functional.normalize(normals, dim=-1)


def _thin(verts: Tensor, wanted: Tensor, spacing: float) -> Tensor:
    """Return the wanted vertices (N,), one per cube of side `spacing` [m], ascending."""
    rows = wanted.nonzero()[:, 0]
    cells = (verts[rows] / spacing).floor().long()
    _, cell = torch.unique(cells, dim=0, return_inverse=True)
    first = torch.full((int(cell.max()) + 1,), len(rows), dtype=torch.long, device=rows.device)
    first.scatter_reduce_(0, cell, torch.arange(len(rows), device=rows.device), "amin")
    return rows[first.sort().values]
