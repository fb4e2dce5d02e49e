"""What is behind a person: flat layers that were painted once and are looked up as each camera sees them."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from emosh_core.geometry.camera import pixel_rays, plane_map
from emosh_core.synth.scene.lights import Mood

CELLS = 8
"""Cells of a grid over the picture, per side, that tells where a layer is seen."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """What cameras see of a backdrop."""

    rgb: Tensor
    """(T, H, W, 3) float32, sRGB values 0..1, as textures and `composite` have them."""
    ground: Tensor
    """(T, H, W, 2) float32, x and z where the ray through the pixel's centre meets y = 0 [m]; 0 above the horizon."""
    on_floor: Tensor
    """(T, H, W) float32, how much of the pixel shows the floor, 0..1: where a shadow may fall."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A plane of the world, painted as the backdrop's own camera sees it."""

    plate: Tensor
    """(5, h, w) float32: RGB, alpha, floor; all but alpha times alpha. Beyond its rim the rim goes on."""
    corner: tuple[float, float]
    """Where its top left corner lies in the picture of the backdrop's camera [px]."""
    normal: np.ndarray
    """(3,) of the plane in world axes; zero for what is infinitely far away."""
    offset: float
    """The plane is normal · x = offset [m]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Backdrop:
    """Layers from the farthest, which is opaque, to the nearest; made for one shot."""

    name: str
    """What it shows, in words."""
    mood: Mood
    """Which light suits it."""
    layers: tuple[Layer, ...]
    K: np.ndarray
    """(3, 3) of the camera that the plates were painted with [px]."""
    w2c: np.ndarray
    """(4, 4)."""
    looks: dict[str, str | float] = field(default_factory=dict)
    """What was drawn; goes into the clip's notes as it is."""

    def see(self, K: np.ndarray, w2c: np.ndarray, size: tuple[int, int]) -> Sight:
        """Return what cameras of the shot, or between its frames, see; a camera that stands still looks once.

        Args:
            K: (T, 3, 3) [px].
            w2c: (T, 4, 4).
            size: width and height [px].
        """
        K, w2c = np.asarray(K, np.float64), np.asarray(w2c, np.float64)
        if len(K) > 1 and (K == K[:1]).all() and (w2c == w2c[:1]).all():
            sight = self.see(K[:1], w2c[:1], size)
            return Sight(**{name: values.expand(len(K), *values.shape[1:]) for name, values in vars(sight).items()})
        rays, centres = pixel_rays(K, w2c)
        pixels = _pixels(size, self.layers[0].plate.device)
        seen = None
        for layer in self.layers:
            maps = self._maps(layer, rays, centres)
            rows, columns = _where(maps, layer.plate.shape[1:], size) if seen is not None else (slice(None),) * 2
            if rows is None:
                continue
            looked_up = _look_up(layer.plate, maps, pixels[:, rows, columns])
            if seen is None:
                seen = looked_up
                continue
            part = seen[:, :, rows, columns]
            part.mul_(1 - looked_up[:, 3:4]).add_(looked_up)
        seen = seen.permute(0, 2, 3, 1)
        return Sight(rgb=seen[..., :3].contiguous(), ground=_ground(rays, centres, pixels), on_floor=seen[..., 4])

    def _maps(self, layer: Layer, rays: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Return the homographies (T, 3, 3) from the cameras' pixels to those of a plate."""
        matrix = plane_map(self.K, self.w2c, layer.normal, layer.offset, rays, centres)
        shift = np.array([[1, 0, -layer.corner[0]], [0, 1, -layer.corner[1]], [0, 0, 1]])
        return shift @ matrix


def _pixels(size: tuple[int, int], device) -> Tensor:
    """Return the pixels' centres (3, H, W) float32: x, y, 1."""
    y, x = (torch.arange(side, device=device) + 0.5 for side in size[::-1])
    ones = torch.ones(size[1], size[0], device=device)
    return torch.stack([ones * x, ones * y[:, None], ones])


def _where(maps: np.ndarray, plate: tuple[int, int], size: tuple[int, int]) -> tuple:
    """Return the rows and columns of the picture in which a plate (h, w) is seen in some frame, None if nowhere."""
    edges = [np.linspace(0, side, CELLS + 1).round() for side in size]
    grid = np.stack([*np.meshgrid(*edges), np.ones((CELLS + 1, CELLS + 1))], -1)
    x, y, w = np.moveaxis(grid @ maps.swapaxes(1, 2)[:, None], -1, 0)
    corners = lambda values: np.stack([values[:, i : CELLS + i, j : CELLS + j] for i in (0, 1) for j in (0, 1)])  # noqa: E731
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y, front = corners(x / w), corners(y / w), corners(w).min(0) > 0
    outside = (x.max(0) < 0) | (x.min(0) > plate[1]) | (y.max(0) < 0) | (y.min(0) > plate[0])
    seen = (~(outside & front)).any(0)
    if not seen.any():
        return None, None
    spans = []
    for along, edge in ((seen.any(1), edges[1]), (seen.any(0), edges[0])):
        cells = np.nonzero(along)[0]
        spans.append(slice(int(edge[cells[0]]), int(edge[cells[-1] + 1])))
    return tuple(spans)


def _look_up(plate: Tensor, maps: np.ndarray, pixels: Tensor) -> Tensor:
    """Return what lies on a plate (5, h, w) at pixels (3, H, W) as maps (T, 3, 3) place them: (T, 5, H, W)."""
    height, width = plate.shape[1:]
    # grid_sample's own range is −1..1 from rim to rim.
    to_range = np.array([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1]])
    maps = torch.as_tensor((to_range @ maps).astype(np.float32), device=plate.device)
    x, y, w = (maps @ pixels.flatten(1)).unflatten(-1, pixels.shape[1:]).unbind(1)
    grid = torch.stack([x / w, y / w], -1)
    return grid_sample(plate.expand(len(maps), -1, -1, -1), grid, padding_mode="border", align_corners=False)


def _ground(rays: np.ndarray, centres: np.ndarray, pixels: Tensor) -> Tensor:
    """Return x and z (T, H, W, 2) where the rays meet the floor [m]."""
    meets = centres[:, [0, 2], None] * rays[:, 1:2] - centres[:, 1:2, None] * rays[:, [0, 2]]
    maps = torch.as_tensor(np.concatenate([meets, rays[:, 1:2]], 1).astype(np.float32), device=pixels.device)
    x, z, down = (maps @ pixels.flatten(1)).unflatten(-1, pixels.shape[1:]).unbind(1)
    return torch.stack([x / down, z / down], -1).mul_((down < -1e-4)[..., None])
