"""Put meshes with textures together into a figure."""

from dataclasses import dataclass

import numpy as np
import torch
from emosh_kernels.skin import bind
from torch import Tensor

from emosh_core.body.ehm import ShapedBody
from emosh_core.synth.atlas import Piece, join
from emosh_core.synth.figure import Figure, Part
from emosh_core.synth.garment import Worn


@dataclass(frozen=True, eq=False)
class Mesh:
    """Vertices that move together with the body, N of them, and how they look."""

    worn: Worn
    tint: np.ndarray
    """(N, 3), see `Figure.tint`."""
    gloss: np.ndarray
    """(N,), see `Figure.gloss`."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """Triangles of one mesh with one texture."""

    mesh: int
    """Which one; 0 is the body."""
    faces: np.ndarray
    """(F, 3) vertices of the mesh."""
    corners: np.ndarray
    """(F, 3) rows of `owner` and of the piece's texels."""
    owner: np.ndarray
    """(U,) vertices of the mesh."""
    piece: Piece


def assemble(shaped: ShapedBody, meshes: list[Mesh], parts: list[list[Sheet]]) -> Figure:
    """Join everything that somebody is made of.

    Args:
        shaped: the bare body.
        meshes: the body first.
        parts: the sheets of each part, the opaque part first.
    """
    worn = [mesh.worn for mesh in meshes]
    starts = np.cumsum([0] + [len(one.verts) for one in worn])
    like = worn[0].verts
    together = lambda values: torch.cat(list(values))  # noqa: E731
    array = lambda name: torch.as_tensor(  # noqa: E731
        np.concatenate([getattr(mesh, name) for mesh in meshes]).astype(np.float32), device=like.device)
    return Figure(
        shaped=shaped, rest_verts=together(one.verts for one in worn),
        binding=bind(together(one.lbs_weights for one in worn)),
        expression_verts=together(one.expression_verts + int(start) for one, start in zip(worn, starts)),
        expression_dirs=together(one.expression_dirs for one in worn),
        tint=array("tint"), gloss=array("gloss"),
        parts=tuple(_part([s for s in sheets if len(s.faces)], starts, like.device) for sheets in parts),
    )  # fmt: skip


def _part(sheets: list[Sheet], starts: np.ndarray, device: torch.device) -> Part:
    texture, texels = join([sheet.piece for sheet in sheets])
    first = np.cumsum([0] + [len(sheet.owner) for sheet in sheets])
    move = lambda values, dtype: torch.as_tensor(np.concatenate(values), dtype=dtype, device=device)  # noqa: E731
    return Part(
        faces=move([sheet.faces + starts[sheet.mesh] for sheet in sheets], torch.int32),
        corners=move([sheet.corners + start for sheet, start in zip(sheets, first)], torch.int32),
        texels=move(texels, torch.float32),
        owner=move([sheet.owner + starts[sheet.mesh] for sheet in sheets], torch.int64),
        texture=torch.as_tensor(texture, device=device),
    )


def body_as_worn(shaped: ShapedBody, count: int) -> Worn:
    """Return the first `count` vertices of a base mesh's person, which are the body's, like a garment."""
    model = shaped.model
    own: Tensor = model.expression_verts < count
    dirs = model.expression_dirs * shaped.expression_gain[..., None]
    return Worn(shaped.rest_verts[:count], model.lbs_weights[:count], model.expression_verts[own], dirs[own])
