"""The vertices that contacts are looked for at, thin samples of arms, head, torso and soles, and how near they are.

Every identity has the same vertices, so a touch found on the driver names the place on the target too.
"""

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from emosh_core.body.ehm import EhmModel, PosedBody, ShapedBody
from emosh_core.body.joints import HANDS, HEAD, JOINT_NAMES, WRISTS
from emosh_core.body.pose import Pose, zero_pose

SPACING = {"hand": 0.014, "forearm": 0.02, "head": 0.013, "torso": 0.020, "heel": 0.012, "ball": 0.012}  # [m]
INNER_PARTS = ("eye", "mouth", "tongue")  # beginnings of part names that nothing outside can touch
PALM = 0.025  # [m] beyond the wrist: what is nearer is forearm to the eye
SOLE = -0.7  # a vertex of the foot is sole if its normal in the T-pose points down more than this
DEEPEST = 0.08  # [m] behind a surface that still counts as inside it and not as the other side
LOWEST = 0.003  # [m] softness of the lowest point of a hand
PAIRS = 24  # pairs of vertices that make a touch
AT_ONCE = 16  # frames; bounds the memory of all distances
_TORSO = "pelvis spine1 spine2 spine3 neck left_hip right_hip left_collar right_collar"
TORSO = [JOINT_NAMES.index(name) for name in _TORSO.split()]


@dataclass(frozen=True, kw_only=True, eq=False)
class Probes:
    """A full body model, the same with few vertices, and the named regions among these."""

    full: EhmModel
    body: EhmModel
    regions: dict[str, Tensor]
    """Of each side hand, forearm, heel and ball (`left_hand` …), and head and torso: rows of `body`."""

    def of(self, shaped: ShapedBody) -> "ShapedProbes":
        """Give the probes an identity: that of somebody of the full model."""
        rest = shaped.with_pose(zero_pose())
        normals = _vertex_normals(rest.verts[0], self.full.faces)[self.body.kept_verts]
        return ShapedProbes(probes=self, shaped=shaped.thinned(self.body), normals=normals)


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

    def normals(self, region: str, at: Tensor, frames: Tensor | slice = slice(None)) -> Tensor:
        """Return the outward unit normals (F, K, 3) of some vertices of a region, turned with the joints.

        Args:
            at: (F, K) which vertices of the region.
            frames: which F of the T frames.
        """
        rows = self.of.probes.regions[region][at]
        turns = (self.posed.model.lbs_weights[rows] @ self.posed.rotmats[frames].flatten(2)).unflatten(-1, (3, 3))
        return torch.nn.functional.normalize((turns @ self.of.normals[rows][..., None])[..., 0], dim=-1)

    def moved(self, shift: Tensor) -> "PosedProbes":
        """Return the same, moved by a vector (3,) [m]."""
        posed = replace(self.posed, verts=self.posed.verts + shift, joints=self.posed.joints + shift)
        return replace(self, posed=posed)


def distances(body: PosedProbes, sides: tuple[str, str], wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Measure from each of a hand's probes to the nearest probe of the other side.

    Args:
        wanted: (T,) bool; other frames, and those in which all is farther apart than DEEPEST, are not measured.

    Returns:
        Distance (T, P) [m], negative inside, infinite where it is not measured; the nearest probe (T, P); and the
        height over its tangent plane (T, P) [m], the distance where that is more than DEEPEST.
    """
    hand, other = body.verts(sides[0]), body.verts(sides[1])
    distance, nearest = torch.full(hand.shape[:2], torch.inf), torch.zeros(hand.shape[:2], dtype=torch.long)
    height = distance.clone()
    centre = hand.mean(1, keepdim=True)
    close = (other - centre).norm(dim=-1) < (hand - centre).norm(dim=-1).amax(1, keepdim=True) + DEEPEST
    frames = (wanted & close.any(1)).nonzero()[:, 0]
    for first in range(0, len(frames), AT_ONCE):
        rows = frames[first : first + AT_ONCE]
        some = close[rows].any(0).nonzero()[:, 0]
        here, there = hand[rows] - centre[rows], other[rows][:, some] - centre[rows]  # small numbers: float32 is fine
        least, index = torch.cdist(here, there).min(2)
        here, there, index = hand[rows], other[rows], some[index]
        above = ((here - pick(there, index)) * body.normals(sides[1], index, rows)).sum(-1)
        distance[rows] = torch.where((above < 0) & (least < DEEPEST), -least, least)
        height[rows] = torch.where(least < DEEPEST, above, least)
        nearest[rows] = index
    return distance, nearest, height


def lowest(height: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the height (T,) [m] of a hand's lowest points, which probes (T, K) these are and their shares in it."""
    height, rows = height.nan_to_num(posinf=1.0).topk(PAIRS, dim=1, largest=False)
    share = torch.softmax(-height / LOWEST, 1)
    return (height * share).sum(1), rows, share


def pick(values: Tensor, rows: Tensor) -> Tensor:
    """Return values (T, N, 3) at rows (T, K) as (T, K, 3)."""
    return values.gather(1, rows[..., None].expand(-1, -1, 3))


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
    for side, wrist in WRISTS.items():
        shares[f"{side}_forearm"] = weight(JOINT_NAMES.index(f"{side}_elbow"), wrist) & ~beyond[side]
    shares |= {"head": (body.head_mask > 0.5) | weight(HEAD)}
    shares["torso"] = weight(*TORSO) & ~shares["head"]
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
