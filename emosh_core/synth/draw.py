"""Draw a figure: pose, light, shadows and background to pictures, a few frames at a time."""

from dataclasses import dataclass

import numpy as np
import torch
from emosh_kernels.composite import Layer, composite
from emosh_kernels.rasterize import Fragments, rasterize
from emosh_kernels.skin import skin
from torch import Tensor
from torch.nn.functional import normalize

from emosh_core.geometry.camera import project, to_camera
from emosh_core.render.shade import vertex_normals
from emosh_core.synth.figure import Figure
from emosh_core.synth.scene.backdrop import Backdrop, Sight
from emosh_core.synth.scene.lights import LUMINANCE, Lights, shade
from emosh_core.synth.shadow import LightView, see_from, shade_floor

OVERSAMPLE = 2
"""The person is drawn this much larger and then averaged: smooth outlines, no flicker."""
PENUMBRA, FLOOR_PENUMBRA = (0.006, 0.04), (0.012, 0.14)
"""Radius of soft shadows on people and on the floor [m], for the hardest and the softest light."""
LEGS = (0, 1, 2, 4, 5, 7, 8, 10, 11)
"""Joints whose surface can lie or stand on the floor: pelvis, hips, knees, ankles, toes."""
NEAR = 0.05
"""A body that comes nearer to the camera plane than this [m] may touch the whole picture."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Pictures of T frames, and what of the solid mesh is seen where."""

    frames: Tensor
    """(T, H, W, 3) float32, 0..1."""
    mask: Tensor
    """(T, H, W) float32, 0..1: how much of a pixel the person covers, hair included."""
    solid: Fragments
    """Fine pixels of the figure's first part in the part of the picture that it touches."""
    corner: tuple[int, int]
    """x and y of that part's top-left corner [px]; its fine pixels are 1 / OVERSAMPLE wide."""


class Studio:
    """One figure before one backdrop in one light."""

    def __init__(self, figure: Figure, lights: Lights, backdrop: Backdrop):
        self.figure, self.lights, self.backdrop = figure, lights, backdrop
        corners = torch.cat([part.faces for part in figure.parts]).long()
        self.rest_normals = vertex_normals(figure.rest_verts[None], corners)
        self.two_sided = torch.zeros(len(figure.rest_verts), dtype=torch.bool, device=corners.device)
        for part in figure.parts[1:]:  # hair and lashes are sheets
            self.two_sided[part.faces.long()] = True
        # Only what stands on the floor is near enough to darken it by its mere presence.
        low = figure.binding.lbs_weights[:, list(LEGS)].sum(1) > 0.5
        solid = figure.parts[0].faces
        self.low_faces = solid[low[solid.long()].all(1)]
        self.key = torch.as_tensor(lights.key, device=corners.device)

    def draw(self, verts: Tensor, transforms: Tensor, K: np.ndarray, w2c: np.ndarray, size: tuple[int, int]) -> Drawn:
        """Draw T frames.

        Args:
            verts: (T, V, 3) all vertices of the figure in world axes [m].
            transforms: (T, 55, 3, 4) that posed them.
            K: (T, 3, 3) [px].
            w2c: (T, 4, 4).
            size: width and height [px].
        """
        sight = self.backdrop.see(K, w2c, size)
        K, w2c = (torch.as_tensor(values, device=verts.device) for values in (K, w2c))
        normals = self._normals(transforms)
        eye = -(w2c[:, :3, :3].transpose(1, 2) @ w2c[:, :3, 3:])[..., 0]
        solid = self.figure.parts[0].faces
        key = see_from(self.key, verts, solid)
        lit = key.lit(verts, normals, _between(PENUMBRA, self.lights.softness))
        to_eye = normalize(eye[:, None] - verts, dim=-1)
        gain, shine = shade(normals, to_eye, self.figure.gloss, self.lights, lit, self.two_sided)
        frames = self._with_floor_shadow(sight, key, verts)
        in_camera = to_camera(verts, w2c)
        box = _bounds(in_camera, K, size)
        x0, y0, x1, y1 = box
        into = K.new_tensor([[OVERSAMPLE, 0, -OVERSAMPLE * x0], [0, OVERSAMPLE, -OVERSAMPLE * y0], [0, 0, 1]])
        fine = (OVERSAMPLE * (y1 - y0), OVERSAMPLE * (x1 - x0))
        seen = [rasterize(in_camera, part.faces, into @ K, fine) for part in self.figure.parts]
        layers = self._layers(seen, gain * self.figure.tint, shine)
        window = (slice(None), slice(y0, y1), slice(x0, x1))
        over = composite(layers, oversample=OVERSAMPLE)
        frames[window] = over[..., :3] + (1 - over[..., 3:]) * frames[window]
        mask = frames.new_zeros(frames.shape[:3])
        mask[window] = over[..., 3]
        return Drawn(frames, mask, seen[0], (x0, y0))

    def _normals(self, transforms: Tensor) -> Tensor:
        """Turn the normals with the skin: (T, V, 3). Expressions bend them too little to see."""
        turns = transforms.clone()
        turns[..., 3] = 0
        return normalize(skin(self.rest_normals, self.figure.binding, turns), dim=-1)

    def _with_floor_shadow(self, sight: Sight, key: LightView, verts: Tensor) -> Tensor:
        """Return the background (T, H, W, 3) with the person's shadow on the floor."""
        if not bool((sight.on_floor > 0).any()):
            return sight.rgb.clone()
        below = see_from(verts.new_tensor([0.0, -1.0, 0.0]), verts, self.low_faces)
        penumbra = _between(FLOOR_PENUMBRA, self.lights.softness)
        thrown, occluded = shade_floor(key, below, verts, penumbra).at(sight.ground).unbind(1)
        dark = 1 - (1 - _key_share(self.lights) * thrown) * (1 - occluded)
        return sight.rgb * (1 - sight.on_floor * dark)[..., None]

    def _layers(self, seen: list[Fragments], gain: Tensor, shine: Tensor) -> list[Layer]:
        layers = []
        for fragments, part in zip(seen, self.figure.parts, strict=True):
            texels = part.texels.expand(len(gain), -1, -1)
            solid = torch.ones_like(texels[..., :1])
            values = torch.cat([texels, gain[:, part.owner], solid, shine[:, part.owner, None]], -1)
            layers.append(Layer(fragments, part.corners, values, part.texture))
        return layers


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share


def _key_share(lights: Lights) -> float:
    """Return how much darker the floor's sRGB values are where the key light does not reach, 0..1."""
    key, fill = (float(max(0.0, to[1]) * (LUMINANCE @ rgb))
                 for to, rgb in ((lights.key, lights.key_rgb), (lights.fill, lights.fill_rgb)))  # fmt: skip
    rest = fill + float(LUMINANCE @ lights.sky)
    # Square roots stand for sRGB's curve, as they do in `shade`.
    return 1 - (rest / (rest + key)) ** 0.5


def _bounds(in_camera: Tensor, K: Tensor, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part x0, y0, x1, y1 [px] of the picture that vertices (T, V, 3) touch; at least a pixel."""
    if bool((in_camera[..., 2] < NEAR).any()):
        return 0, 0, *size
    points = project(in_camera, K)
    limit = points.new_tensor(size)
    low = torch.minimum(points.amin((0, 1)).floor().clamp(min=0), limit - 1).int().tolist()
    high = torch.minimum(points.amax((0, 1)).ceil().clamp(min=0), limit).int().tolist()
    return (*low, *(max(a + 1, b) for a, b in zip(low, high, strict=True)))
