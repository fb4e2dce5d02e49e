"""Shadows: what the key light does not reach, on people and on the floor beneath them."""

from dataclasses import dataclass

import torch
from emosh_kernels.rasterize import rasterize
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample, normalize, pad

DISTANCE = 100.0
"""How far away the eye of a light stands [m]: its rays are all but parallel."""
LIGHT_SIDE, FLOOR_SIDE = 224, 112
"""Pixels along the side of the light's picture and of the floor's map."""
BIAS = 0.018
"""A surface shades what lies farther than this behind it [m]; less speckles, more detaches shadows."""
AWAY = 0.012
"""Points are asked about this far off their surface [m], and farther in soft light, so that a surface that the light
grazes does not shade itself."""
TAPS = ((0.4, 0.9), (-0.9, 0.4), (-0.4, -0.9), (0.9, -0.4), (0.0, 0.0))
"""Where around a point the light's picture is asked, in units of the softness."""
FLOOR_REACH = 1.9
"""Half the side of the piece of floor that can be shaded [m]."""
CONTACT, NEARBY = (0.035, 0.02, 0.75), (0.30, 0.09, 0.45)
"""Occlusion of the floor by what stands over it: height at which it has faded to 1/e [m], blur [m], strength."""


@dataclass(frozen=True, eq=False)
class LightView:
    """What a light sees of a person in T frames."""

    depth: Tensor
    """(T, S, S) [m], infinite where nothing is hit."""
    axes: Tensor
    """(T, 3, 3) rows: right, down and forward of the light's eye, world axes."""
    eye: Tensor
    """(T, 3) where it stands [m]."""
    focal: Tensor
    """(T,) [px]."""

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels (T, N, 2) and depth (T, N) [m] of world points (T, N, 3)."""
        seen = (points - self.eye[:, None]) @ self.axes.transpose(1, 2)
        return seen[..., :2] / seen[..., 2:] * self.focal[:, None, None] + LIGHT_SIDE / 2, seen[..., 2]

    def lit(self, points: Tensor, normals: Tensor, softness: float) -> Tensor:
        """Return which share of the light reaches surface points (T, N) in [0, 1].

        Args:
            points: (T, N, 3) world [m].
            normals: (T, N, 3) unit.
            softness: radius of the penumbra [m].
        """
        place, depth = self.project(points + (AWAY + softness) * normals)
        radius = (softness * self.focal / DISTANCE)[:, None]
        flat, reached = self.depth.flatten(1), torch.zeros_like(depth)
        for x, y in TAPS:
            column = (place[..., 0] + x * radius).floor().clamp(0, LIGHT_SIDE - 1)
            row = (place[..., 1] + y * radius).floor().clamp(0, LIGHT_SIDE - 1)
            reached += flat.gather(1, (row * LIGHT_SIDE + column).long()) > depth - BIAS
        return reached / len(TAPS)


def see_from(direction: Tensor, verts: Tensor, faces: Tensor) -> LightView:
    """Look at a person along a direction.

    Args:
        direction: (3,) towards the light, world axes; need not be unit.
        verts: (T, V, 3) world [m].
        faces: (F, 3).
    """
    forward = -normalize(direction, dim=0)
    up = verts.new_tensor([0.0, 1.0, 0.0] if abs(float(forward[1])) < 0.95 else [0.0, 0.0, 1.0])
    right = normalize(torch.linalg.cross(forward, up), dim=0)
    axes = torch.stack([right, torch.linalg.cross(forward, right), forward]).expand(len(verts), 3, 3)
    low, high = verts.amin(1), verts.amax(1)
    centre, radius = (low + high) / 2, (high - low).norm(dim=1) / 2
    eye, focal = centre - DISTANCE * forward, (LIGHT_SIDE / 2 - 2) * DISTANCE / radius
    K = torch.zeros(len(verts), 3, 3, dtype=verts.dtype, device=verts.device)
    K[:, 0, 0] = K[:, 1, 1] = focal
    K[:, :2, 2], K[:, 2, 2] = LIGHT_SIDE / 2, 1
    seen = rasterize((verts - eye[:, None]) @ axes.transpose(1, 2), faces, K, (LIGHT_SIDE, LIGHT_SIDE))
    return LightView(seen.depth, axes, eye, focal)


@dataclass(frozen=True, eq=False)
class FloorShadow:
    """How dark the floor around a person is, as a map over x and z."""

    amount: Tensor
    """(T, 2, S, S): the key light's shadow, and occlusion by what stands over the floor; 0 is none, 1 is full."""
    centre: Tensor
    """(T, 2) x and z of the map's middle [m]."""

    def at(self, ground: Tensor) -> Tensor:
        """Look the map up at floor points (T, H, W, 2) [m]: (T, 2, H, W); there is none beyond the map."""
        place = (ground - self.centre[:, None, None]) / FLOOR_REACH
        return grid_sample(self.amount, place.clamp(-2, 2), align_corners=False)


def shade_floor(key: LightView, below: LightView, verts: Tensor, softness: float) -> FloorShadow:
    """Map the shadow that a person throws on the floor y = 0.

    Args:
        key: what the key light sees.
        below: what an eye below the floor sees, `see_from` (0, −1, 0).
        verts: (T, V, 3) world [m].
        softness: radius of the penumbra where the shadow begins [m].
    """
    frames, device, dtype = len(verts), verts.device, verts.dtype
    centre = ((verts.amin(1) + verts.amax(1)) / 2)[:, [0, 2]]
    step = (torch.arange(FLOOR_SIDE, device=device, dtype=dtype) + 0.5) / FLOOR_SIDE * 2 - 1
    x, z = torch.meshgrid(step, step, indexing="xy")
    grid = (torch.stack([x, z], -1) * FLOOR_REACH).expand(frames, -1, -1, -1) + centre[:, None, None]
    points = torch.stack([grid[..., 0], torch.zeros_like(grid[..., 0]), grid[..., 1]], -1).flatten(1, 2)
    pixel = 2 * FLOOR_REACH / FLOOR_SIDE
    thrown = _look_up(key.depth.isfinite().to(dtype), key.project(points)[0])
    height = below.depth - (below.eye[:, 1].neg())[:, None, None]
    place = below.project(points)[0]
    occluded = torch.zeros_like(thrown)
    for fades, blur, strength in (CONTACT, NEARBY):
        near = _look_up(torch.exp(-height.clamp(min=0) / fades), place)
        occluded = 1 - (1 - occluded) * (1 - strength * _blur(near, blur / pixel))
    return FloorShadow(torch.stack([_blur(thrown, softness / pixel), occluded], 1), centre)


def _look_up(values: Tensor, place: Tensor) -> Tensor:
    """Return pictures (T, S, S) at pixels (T, F·F, 2) as maps (T, F, F); 0 outside."""
    where = (place / (LIGHT_SIDE / 2) - 1)[:, None]
    return grid_sample(values[:, None], where, align_corners=False).view(len(values), FLOOR_SIDE, FLOOR_SIDE)


def _blur(maps: Tensor, sigma: float) -> Tensor:
    """Blur maps (T, S, S) by a Gaussian of this standard deviation [px]."""
    radius = max(1, round(2.5 * sigma))
    at = torch.arange(-radius, radius + 1, device=maps.device, dtype=maps.dtype)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = (kernel / kernel.sum())[None, None, None]
    wide = conv2d(pad(maps[:, None], (radius, radius, 0, 0)), kernel)
    return conv2d(pad(wide, (0, 0, radius, radius)), kernel.transpose(2, 3))[:, 0]
