"""The vertices that contacts are looked for at: thin samples of hands, head, torso and soles.

Every identity has the same vertices, so a touch found on the driver names the place on the target too.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from emosh_core.body.ehm import EhmModel, PosedBody
from emosh_core.body.joints import HANDS, HEAD, JOINT_NAMES, WRISTS
from emosh_core.body.pose import zero_pose

SPACING = {"hand": 0.014, "head": 0.016, "torso": 0.024, "heel": 0.012, "ball": 0.012}  # [m]
INNER_PARTS = ("eye", "mouth", "tongue")  # beginnings of part names that nothing outside can touch
SOLE = -0.7  # a vertex of the foot is sole if its normal in the T-pose points down more than this
TORSO = [JOINT_NAMES.index(name) for name in ("pelvis", "spine1", "spine2", "spine3", "left_hip", "right_hip")]


@dataclass(frozen=True, kw_only=True, eq=False)
class Probes:
    """A body of few vertices and the named regions among them."""

    body: EhmModel
    regions: dict[str, Tensor]
    """left_hand, right_hand, head, torso, left_heel, left_ball, right_heel, right_ball: rows of `body`."""
    normals: Tensor
    """(V, 3) unit outward normals of the mean body in the T-pose."""

    def verts(self, posed: PosedBody, region: str) -> Tensor:
        """Return the vertices of a region (T, N, 3) [m]."""
        return posed.verts[:, self.regions[region]]

    def posed_normals(self, posed: PosedBody, region: str) -> Tensor:
        """Return the outward normals of a region (T, N, 3), turned by the joints but not bent by the identity."""
        rows = self.regions[region]
        turns = torch.einsum("nj,tjab->tnab", self.body.lbs_weights[rows], posed.rotmats)
        return torch.nn.functional.normalize((turns @ self.normals[rows, :, None])[..., 0], dim=-1)


@functools.lru_cache(maxsize=8)
def probes_of(body: EhmModel) -> Probes:
    """Choose the probes of a full body model."""
    zeros = body.template.new_zeros
    mean = body.with_shape(zeros(body.body_dirs.shape[-1]), zeros(body.head_dirs.shape[-1])).with_pose(
        zero_pose(device=body.template.device, dtype=body.template.dtype)
    )
    verts, joints = mean.verts[0], mean.joints[0]
    normals = _vertex_normals(verts, body.faces)
    chosen = {}
    for name, share in _shares(body, verts, joints, normals).items():
        chosen[name] = _thin(verts, share & _outer(body), SPACING[name.split("_")[-1]])
    small = body.for_landmarks(torch.cat(list(chosen.values())))
    regions = {name: torch.searchsorted(small.kept_verts, rows) for name, rows in chosen.items()}
    return Probes(body=small, regions=regions, normals=normals[small.kept_verts])


def _shares(body: EhmModel, verts: Tensor, joints: Tensor, normals: Tensor) -> dict[str, Tensor]:
    """Return which vertices (V,) belong to each region."""
    weight = lambda *rows: body.lbs_weights[:, list(rows)].sum(1) > 0.5  # noqa: E731
    shares = {f"{side}_hand": weight(wrist, *HANDS[side]) for side, wrist in WRISTS.items()}
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
