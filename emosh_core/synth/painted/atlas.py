"""The body's texture layout: which texel shows which place of the body."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from emosh_kernels.rasterize import rasterize
from scipy.ndimage import distance_transform_edt

from emosh_core.body.ehm import EhmModel
from emosh_core.render.colors import mean_in_t_pose
from emosh_core.render.shade import vertex_normals

GUTTER = 4
"""Texels [px] around each island that repeat its rim: look-ups between texels stay on the island."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Texels of the body at one size, on the mean body in the T-pose."""

    side: int
    """Width and height of the texture [px]."""
    pixels: np.ndarray
    """(U, 2) where the rows of `EhmModel.uv` lie [px]."""
    row: np.ndarray
    """(N,) row of each covered texel."""
    column: np.ndarray
    """(N,)."""
    face: np.ndarray
    """(N,) the face that each shows."""
    part: np.ndarray
    """(N,) index into `EhmModel.part_names`."""
    corners: np.ndarray
    """(N, 3) vertices of the face that a texel lies on."""
    bary: np.ndarray
    """(N, 3) float32."""
    place: np.ndarray
    """(N, 3) float32 [m]."""
    normal: np.ndarray
    """(N, 3) float32."""
    gutter: np.ndarray
    """(2, M) rows and columns of the texels around islands."""
    source: np.ndarray
    """(M,) the covered texel that each repeats."""

    def at(self, values: np.ndarray) -> np.ndarray:
        """Interpolate values per vertex (V, C) to the texels (N, C)."""
        values = values.astype(np.float32)
        a, b, c = (self.bary[:, i, None] * values[self.corners[:, i]] for i in range(3))
        return a + b + c

    def picture(self, colors: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Lay out colours (M, 3) of the texels `which` (M,) as an opaque texture (side, side, 4) float32."""
        whole = np.zeros((len(self.row), 3), np.float32)
        whole[which] = colors
        image = np.zeros((self.side, self.side, 4), np.float32)
        image[..., 3] = 1
        image[self.row, self.column, :3] = whole
        image[self.gutter[0], self.gutter[1], :3] = whole[self.source]
        return image


@functools.lru_cache(maxsize=6)
def lay_out(body: EhmModel, side: int) -> Atlas:
    """Find the texels of a body's texture (side, side)."""
    pixels = (body.uv.numpy() * [side, -side] + [0, side]).astype(np.float32)
    flat = torch.as_tensor(np.pad(pixels, ((0, 0), (0, 1)), constant_values=1))
    fragments = rasterize(flat[None], body.face_uv, torch.eye(3), (side, side))
    face, bary = fragments.face_id[0].numpy(), fragments.bary[0].numpy()
    row, column = np.nonzero(face >= 0)
    away, nearest = distance_transform_edt(face < 0, return_indices=True)
    gutter = np.nonzero((away > 0) & (away <= GUTTER))
    number = np.full((side, side), -1)
    number[row, column] = np.arange(len(row))
    face, bary = face[row, column], bary[row, column].astype(np.float32)
    corners = body.faces.numpy()[face]
    posed = mean_in_t_pose(body)
    normals = vertex_normals(posed.verts, body.faces)[0].numpy()
    spread = lambda values: np.einsum("nk,nkc->nc", bary, values[corners]).astype(np.float32)  # noqa: E731
    return Atlas(
        side=side, pixels=pixels, row=row, column=column, face=face, part=body.face_part.numpy()[face], corners=corners,
        bary=bary, place=spread(posed.verts[0].numpy()), normal=spread(normals), gutter=np.stack(gutter),
        source=number[nearest[0][gutter], nearest[1][gutter]],
    )  # fmt: skip
