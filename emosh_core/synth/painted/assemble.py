"""From pieces with textures of their own to a figure with one solid part and a few that blend."""

from dataclasses import dataclass, field

import numpy as np
import torch
from emosh_kernels.skin import bind

from emosh_core.body.ehm import ShapedBody
from emosh_core.synth.figure import Figure, Part


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """A garment, hair, teeth: vertices at rest, triangles, a texture."""

    verts: np.ndarray
    """(V, 3) [m]."""
    weights: np.ndarray
    """(V, 55) skin weights."""
    faces: np.ndarray
    """(F, 3) rows of `verts`, counter-clockwise seen from outside."""
    corners: np.ndarray
    """(F, 3) rows of `texels`."""
    texels: np.ndarray
    """(U, 2) [px] in the piece's own texture."""
    owner: np.ndarray
    """(U,) the vertex of each row of `texels`."""
    texture: np.ndarray
    """(h, w, 4) float32: RGB times alpha, alpha."""
    tint: np.ndarray
    """(V, 3)."""
    gloss: float
    dirs: np.ndarray | None = None
    """(V, 3, 52) what expressions do to it [m], if they do."""
    blends: bool = False


@dataclass(eq=False)
class _Sheet:
    """Textures side by side in rows of one width."""

    width: int
    images: list[tuple[int, int, np.ndarray]] = field(default_factory=list)
    x: int = 0
    y: int = 0
    row: int = 0

    def place(self, image: np.ndarray) -> tuple[int, int]:
        height, width = image.shape[:2]
        if self.x + width > self.width:
            self.x, self.y, self.row = 0, self.y + self.row, 0
        at = self.x, self.y
        self.images.append((*at, image))
        self.x, self.row = self.x + width, max(self.row, height)
        return at

    def picture(self) -> np.ndarray:
        whole = np.zeros((self.y + self.row, self.width, 4), np.float32)
        for x, y, image in self.images:
            whole[y : y + image.shape[0], x : x + image.shape[1]] = image
        return whole


def assemble(shaped: ShapedBody, skin: Piece, gloss: np.ndarray, pieces: list[Piece]) -> Figure:
    """Put a figure together.

    Args:
        shaped: the bare body.
        skin: the body's vertices, all of them, and those of its faces that are drawn.
        gloss: (V,) of the skin; for the pieces it is the same all over.
        pieces: what the person wears.
    """
    pieces = [skin, *pieces]
    starts = np.cumsum([0, *(len(piece.verts) for piece in pieces)])
    sheet = _Sheet(max(piece.texture.shape[1] for piece in pieces if not piece.blends))
    placed = {id(texture): sheet.place(texture) for texture in _solid_textures(pieces)}
    solid = [(piece, start, placed[id(piece.texture)]) for piece, start in zip(pieces, starts, strict=False)
             if not piece.blends]  # fmt: skip
    parts = [_part(solid, sheet.picture())]
    parts += [_part([(p, start, (0, 0))], p.texture) for p, start in zip(pieces, starts, strict=False) if p.blends]
    join = lambda name: torch.as_tensor(np.concatenate([getattr(p, name) for p in pieces]), dtype=torch.float32)  # noqa: E731
    model = shaped.model
    moved = [(start, piece.dirs) for start, piece in zip(starts, pieces, strict=False) if piece.dirs is not None]
    own = model.expression_dirs * shaped.expression_gain[..., None]
    shine = np.concatenate([gloss, *(np.full(len(p.verts), p.gloss) for p in pieces[1:])])
    return Figure(
        shaped=shaped, rest_verts=join("verts"), binding=bind(join("weights")), tint=join("tint"),
        expression_verts=torch.cat([model.expression_verts, *(torch.arange(len(d)) + s for s, d in moved)]),
        expression_dirs=torch.cat([own, *(torch.as_tensor(d, dtype=torch.float32) for _, d in moved)]),
        gloss=torch.as_tensor(shine, dtype=torch.float32), parts=tuple(parts),
    )  # fmt: skip


def _solid_textures(pieces: list[Piece]) -> list[np.ndarray]:
    """Return each texture once, the tallest first."""
    unique = {id(piece.texture): piece.texture for piece in pieces if not piece.blends}
    return sorted(unique.values(), key=lambda image: -image.shape[0])


def _part(pieces: list[tuple[Piece, int, tuple[int, int]]], texture: np.ndarray) -> Part:
    faces, corners, texels, owner, first = [], [], [], [], 0
    for piece, start, at in pieces:
        faces.append(piece.faces + start)
        corners.append(piece.corners + first)
        texels.append(piece.texels + np.float32(at))
        owner.append(piece.owner + start)
        first += len(piece.texels)
    whole = lambda rows, dtype: torch.as_tensor(np.concatenate(rows), dtype=dtype)  # noqa: E731
    return Part(
        faces=whole(faces, torch.int32), corners=whole(corners, torch.int32), texels=whole(texels, torch.float32),
        owner=whole(owner, torch.int64), texture=torch.as_tensor(texture, dtype=torch.float32),
    )  # fmt: skip
