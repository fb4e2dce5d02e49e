"""Everything that is painted on the body: one texture, with eyes that change from frame to frame, and teeth."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emosh_core.body.ehm import EhmModel, ShapedBody
from emosh_core.geometry.camera import to_camera
from emosh_core.render import eyes as eye_parts
from emosh_core.render import teeth as tooth_parts
from emosh_core.render.eyes import Eyes
from emosh_core.render.teeth import fit_teeth, paint_teeth
from emosh_core.render.texture import SIDE, texture_pixels
from emosh_core.render.view import FRAMES_AT_ONCE, View

EYE_ROWS = -(-2 * FRAMES_AT_ONCE // (SIDE // eye_parts.PATCH))
"""Rows of eye patches below the body's texture: two eyes for every frame that is posed at once."""


@dataclass(frozen=True, eq=False)
class Figure:
    """T frames of a body with teeth, and where its corners lie in the texture."""

    verts: Tensor
    """(T, V + teeth, 3) in camera axes [m]."""
    values: Tensor
    """(T, U + teeth, 7) as `emosh_kernels.composite.Layer` wants them."""


class Skin:
    """The texture and the topology of a body with teeth.

    Attributes:
        faces: (F, 3) rows of `Figure.verts`.
        rows: (F, 3) rows of `Figure.values`.
        texture: (H, SIDE, 4) float32; below the body's lie the eyes of the frames that `dress` saw last.
    """

    def __init__(self, texture: np.ndarray, body: EhmModel, shaped: ShapedBody, eyes: Eyes):
        """Join the parts.

        Args:
            texture: (SIDE, SIDE, 3) RGB, 0..255.
        """
        self.eyes, self.teeth = eyes, fit_teeth(shaped)
        self.faces = torch.cat([body.faces, self.teeth.faces + len(body.template)])
        self.rows = torch.cat([body.face_uv, self.teeth.faces + len(body.uv)])
        below = SIDE + EYE_ROWS * eye_parts.PATCH
        self.texture = torch.ones(below + tooth_parts.PATCH[1], SIDE, 4)
        self.texture[:SIDE, :, :3] = torch.as_tensor(texture / 255)
        self.texture[below:, : tooth_parts.PATCH[0], :3] = torch.as_tensor(paint_teeth())
        teeth_pixels = self.teeth.pixels + torch.tensor([0, below])
        pixels = torch.cat([torch.as_tensor(texture_pixels(body)), teeth_pixels])
        plain = torch.tensor([1.0, 1, 1, 1, 0]).expand(len(pixels), 5)  # as painted, opaque, no shine
        self.values = torch.cat([pixels, plain], 1)

    def dress(self, view: View, expression: Tensor) -> Figure:
        """Paint the eyes of at most FRAMES_AT_ONCE frames into the texture and place the teeth.

        Args:
            expression: (T, 52) weights of the expression units.
        """
        teeth = to_camera(self.teeth.pose(view.posed, expression), view.w2c)
        values = self.values.repeat(len(teeth), 1, 1)
        for t, pair in enumerate(self.eyes.draw(view)):
            for k, (side, drawn) in enumerate(zip(eye_parts.SIDES, pair, strict=True)):
                x, y = self._eye_patch(2 * t + k)
                self.texture[y : y + eye_parts.PATCH, x : x + eye_parts.PATCH, :3] = torch.from_numpy(drawn)
                values[t, self.eyes.rows[side], :2] = self.eyes.pixels[side] + torch.tensor([x, y])
        return Figure(verts=torch.cat([view.verts_cam, teeth], 1), values=values)

    @staticmethod
    def _eye_patch(number: int) -> tuple[int, int]:
        """Return the corner x, y [px] of a patch."""
        row, column = divmod(number, SIDE // eye_parts.PATCH)
        return column * eye_parts.PATCH, SIDE + row * eye_parts.PATCH
