"""From textured rectangles in the world to layers of a backdrop, as the camera in the middle of a shot sees them."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emosh_core.geometry.camera import pixel_rays, plane_map
from emosh_core.synth.scene.backdrop import Layer
from emosh_core.synth.scene.shot import Shot

FINE = 2
"""Fine pixels per pixel and axis when a plate is painted."""
SHARPER = 1.2
"""Pixels of a plate per pixel of the picture, for cameras that move: bilinear look-up blurs less then."""
FARTHEST_VIEW = 2.2
"""Plates reach this far from the middle of the painting camera, as the tangent of an angle."""
SAME = 1e-3
"""Cameras whose centres stay together this closely [m] see no parallax."""
AROUND = 3
"""What the plates show beyond what is seen [px]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """A picture that hangs or lies in the world."""

    texture: np.ndarray
    """(h, w, 4) uint8: sRGB, alpha; colours not multiplied by alpha."""
    origin: np.ndarray
    """(3,) where its top left corner is [m]."""
    across: np.ndarray
    """(3,) from there to the top right corner [m]."""
    down: np.ndarray
    """(3,) from there to the bottom left corner [m]."""
    is_floor: bool = False

    @property
    def corners(self) -> np.ndarray:
        """(4, 3) [m]."""
        return self.origin + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ np.stack([self.across, self.down])


@dataclass(frozen=True, kw_only=True, eq=False)
class Easel:
    """The camera that plates are painted with."""

    shot: Shot
    K: np.ndarray
    """(3, 3) [px]."""
    w2c: np.ndarray
    """(4, 4)."""
    focus: float
    """Distance that is sharp [m]."""
    aperture: float
    """Standard deviation of the blur of what is infinitely far, over the focal length, times `focus` [m]."""
    flat: bool
    """Whether all layers may be one, because the camera stays where it is."""

    @property
    def centre(self) -> np.ndarray:
        """(3,) [m]."""
        return -self.w2c[:3, :3].T @ self.w2c[:3, 3]


def set_up(shot: Shot, pelvis: np.ndarray, aperture: float) -> Easel:
    """Choose the camera to paint with.

    Args:
        shot: the cameras that will look.
        pelvis: (T, 3) where the person is [m]; there it is sharp.
        aperture: see `Easel`.
    """
    K, w2c = shot.K.astype(np.float64), shot.w2c.astype(np.float64)
    ahead = w2c[:, 2, :3]
    middle = int(np.argmax(ahead @ ahead.mean(0)))
    still = (K == K[:1]).all() and (w2c == w2c[:1]).all()
    own = K[middle].copy()
    if not still:
        own[:2] *= SHARPER * np.exp(np.log(K[:, 0, 0]).mean()) / own[0, 0]
    person = pelvis.mean(0) @ w2c[middle, 2, :3] + w2c[middle, 2, 3]
    flat = bool(np.ptp(shot.centres, axis=0).max() < SAME)
    return Easel(shot=shot, K=own, w2c=w2c[middle], focus=float(person), aperture=aperture, flat=flat)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """Surfaces that become one layer: they move as if they all lay in one plane."""

    surfaces: tuple[Surface, ...]
    """From back to front."""
    normal: np.ndarray
    """(3,) of the plane; zero for what is infinitely far."""
    offset: float
    """The plane is normal · x = offset [m]."""
    is_floor: bool = False


def sheet_of(surface: Surface, *, is_floor: bool = False) -> Sheet:
    """Return the sheet of a single surface."""
    normal = np.cross(surface.down, surface.across)
    normal /= np.linalg.norm(normal)
    return Sheet(surfaces=(surface,), normal=normal, offset=float(normal @ surface.origin), is_floor=is_floor)


def paint(easel: Easel, beyond: np.ndarray, sheets: list[Sheet], device="cpu") -> tuple[Layer, ...]:
    """Paint the layers of a backdrop.

    Args:
        beyond: (h, w, 3) uint8, infinitely far away behind everything, from rim to rim.
        sheets: from the farthest to the nearest.
    """
    nowhere = np.zeros(3)
    window = _window(easel, nowhere, 0.0)
    far = cv2.resize(beyond, (window[2], window[3]), interpolation=cv2.INTER_AREA if beyond.shape[1] > window[2] else 1)
    plate = np.zeros((*far.shape[:2], 5), np.float32)
    plate[..., :3] = far / np.float32(255)
    plate[..., 3] = 1
    layers = [(plate, window, nowhere, 0.0)]
    for sheet in sheets:
        layer = _paint_sheet(easel, sheet, window if easel.flat else _window(easel, sheet.normal, sheet.offset))
        if layer is None:
            continue
        if easel.flat:
            plate *= 1 - layer[0][..., 3:4]
            plate += layer[0]
        else:
            layers.append((*layer, sheet.normal, sheet.offset))
    return tuple(
        Layer(plate=torch.as_tensor(np.ascontiguousarray(plate.transpose(2, 0, 1))).to(device),
              corner=(float(window[0]), float(window[1])), normal=normal, offset=offset)
        for plate, window, normal, offset in layers
    )  # fmt: skip


def _window(easel: Easel, normal: np.ndarray, offset: float) -> tuple[int, int, int, int]:
    """Return x, y, width and height [px] of what the shot's cameras see of a plane."""
    shot = easel.shot
    rays, centres = pixel_rays(shot.K.astype(np.float64), shot.w2c.astype(np.float64))
    maps = plane_map(easel.K, easel.w2c, normal, offset, rays, centres)
    grid = np.stack([*np.meshgrid(*(np.linspace(0, side, 7) for side in shot.size)), np.ones((7, 7))], -1).reshape(
        -1, 3
    )
    x, y, w = np.moveaxis(grid @ maps.swapaxes(1, 2), -1, 0)
    front = w > 1e-6 * np.abs(w).max()
    limits = np.array([-1, 1])[:, None] * FARTHEST_VIEW * easel.K[0, 0] + easel.K[:2, 2]
    points = np.stack([x[front] / w[front], y[front] / w[front]], -1).clip(*limits)
    low = np.floor(points.min(0) + 1e-6).astype(int) - AROUND
    high = np.ceil(points.max(0) - 1e-6).astype(int) + AROUND
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def _paint_sheet(easel: Easel, sheet: Sheet, window: tuple) -> tuple[np.ndarray, tuple] | None:
    """Return the plate (h, w, 5) float32 and its window, cut to what is painted; None if nothing is."""
    canvas = np.zeros((window[3] * FINE, window[2] * FINE, 4), np.uint8)
    for surface in sheet.surfaces:
        _lay(canvas, surface, easel, window)
    small = cv2.resize(canvas, (window[2], window[3]), interpolation=cv2.INTER_AREA)
    if not small[..., 3].any():
        return None
    painted = small.astype(np.float32) / 255
    painted = _defocus(painted, easel, sheet, window)
    plate = np.concatenate([painted, painted[..., 3:] * sheet.is_floor], -1)
    if easel.flat:
        return plate, window
    rows, columns = (np.nonzero(painted[..., 3].any(axis))[0] for axis in (1, 0))
    top, left = max(rows[0] - 1, 0), max(columns[0] - 1, 0)
    plate = plate[top : rows[-1] + 2, left : columns[-1] + 2]
    return plate, (window[0] + left, window[1] + top, plate.shape[1], plate.shape[0])


def _lay(canvas: np.ndarray, surface: Surface, easel: Easel, window: tuple) -> None:
    """Draw a surface over a canvas (h, w, 4) uint8 of premultiplied colours."""
    outline = _clip(surface.corners @ easel.w2c[:3, :3].T + easel.w2c[:3, 3])
    if outline is None:
        return
    to_fine = np.array([[FINE, 0, -FINE * window[0]], [0, FINE, -FINE * window[1]], [0, 0, 1]]) @ easel.K
    seen = outline @ to_fine.T
    seen = seen[:, :2] / seen[:, 2:]
    size = np.array(canvas.shape[1::-1])
    low = np.floor(seen.min(0)).clip(0, size).astype(int)
    high = np.ceil(seen.max(0)).clip(0, size).astype(int)
    if (high - low < 1).any():
        return
    (left, top), (right, bottom) = low, high
    mask = np.zeros((bottom - top, right - left), np.uint8)
    points = np.round((seen - low - 0.5).clip(-30000, 30000) * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, points, 255, shift=4)
    # From the texture's pixels to the canvas; a texture's rim lies half a pixel beyond the centres of its pixels.
    height, width = surface.texture.shape[:2]
    start = surface.origin @ easel.w2c[:3, :3].T + easel.w2c[:3, 3]
    axes = [easel.w2c[:3, :3] @ surface.across / width, easel.w2c[:3, :3] @ surface.down / height, start]
    matrix = to_fine @ np.stack(axes, -1)
    shift = lambda x, y: np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])  # noqa: E731
    inverse = np.linalg.inv(shift(-left, -top) @ matrix)
    patch = _warp(surface.texture, inverse, mask)
    own = canvas[top:bottom, left:right]
    if (surface.texture[..., 3] == 255).all():
        cv2.copyTo(patch, mask, own)
    else:
        patch = cv2.bitwise_and(patch, patch, mask=mask)
        under = own * (255 - patch[..., 3:].astype(np.uint16))
        np.add(patch, ((under + 127) // 255).astype(np.uint8), out=own)


def _clip(points: np.ndarray, near: float = 0.05) -> np.ndarray | None:
    """Return the part of a convex polygon (N, 3) that is in front of the camera, None if nothing is."""
    if (points[:, 2] >= near).all():
        return points
    kept = []
    for a, b in zip(points, np.roll(points, -1, 0)):
        if a[2] >= near:
            kept.append(a)
        if (a[2] >= near) != (b[2] >= near):
            kept.append(a + (near - a[2]) / (b[2] - a[2]) * (b - a))
    return np.stack(kept) if len(kept) > 2 else None


def _warp(texture: np.ndarray, inverse: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a texture as fine pixels see it, (h, w, 4) uint8 premultiplied.

    Args:
        inverse: (3, 3) from the patch's pixels to the texture's, corners at (0, 0).
        mask: (h, w), not zero where it is seen.
    """
    height, width = mask.shape
    levels = _levels(inverse, mask)
    low, high = max(0, int(np.floor(levels.min()))), max(0, int(np.ceil(levels.max())))
    if texture[..., 3].min() < 255:
        texture = np.concatenate(
            [(texture[..., :3] * (texture[..., 3:] / 255.0)).round().astype(np.uint8), texture[..., 3:]], -1
        )
    pyramid = [texture]
    while len(pyramid) <= high and min(pyramid[-1].shape[:2]) > 2:
        pyramid.append(cv2.resize(pyramid[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    high = len(pyramid) - 1
    low = min(low, high)
    looked = []
    for level in range(low, high + 1):
        h, w = pyramid[level].shape[:2]
        scale = np.diag([w / texture.shape[1], h / texture.shape[0], 1])
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        matrix = np.linalg.inv(half) @ scale @ inverse @ half
        looked.append(cv2.warpPerspective(pyramid[level], matrix, (width, height), borderMode=cv2.BORDER_REPLICATE,
                                          flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))  # fmt: skip
    if len(looked) == 1:
        return looked[0]
    levels = cv2.resize(levels.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) - low
    mixed = np.zeros((height, width, 4), np.float32)
    for k, part in enumerate(looked):
        weight = (1 - np.abs(levels.clip(0, len(looked) - 1) - k)).clip(0)
        mixed += part * weight[..., None]
    return (mixed + 0.5).astype(np.uint8)


def _levels(inverse: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a coarse map of the level of the texture's pyramid whose pixels are as large as the fine ones."""
    height, width = mask.shape
    y, x = np.meshgrid(*((np.arange(16) + 0.5) / 16 * side for side in (height, width)), indexing="ij")
    w = np.stack([x, y, np.ones_like(x)], -1) @ inverse[2]
    # The area that a projective map makes of a small square is |det| / w³.
    area = np.abs(np.linalg.det(inverse)) / np.abs(w).clip(1e-9) ** 3
    inside = cv2.resize(mask, (16, 16), interpolation=cv2.INTER_AREA) > 0
    if not inside.any():
        inside[:] = True
    level = 0.5 * np.log2(area.clip(1e-9))
    return level.clip(level[inside].min(), level[inside].max())


def _defocus(painted: np.ndarray, easel: Easel, sheet: Sheet, window: tuple) -> np.ndarray:
    """Blur what is far from the focus, (h, w, 4) of premultiplied colours."""
    if not easel.aperture:
        return painted
    blur = lambda z: easel.aperture * easel.K[0, 0] * np.abs(1 - easel.focus / z)  # noqa: E731
    height, width = painted.shape[:2]
    y, x = np.meshgrid(*((np.arange(16) + 0.5) / 16 * side for side in (height, width)), indexing="ij")
    rays = (
        np.stack([x + window[0], y + window[1], np.ones_like(x)], -1) @ (easel.w2c[:3, :3].T @ np.linalg.inv(easel.K)).T
    )
    if sheet.normal.any():
        along = rays @ sheet.normal
        depth = (sheet.offset - easel.centre @ sheet.normal) / np.where(np.abs(along) < 1e-6, 1e-6, along)
        spread = blur(np.where(depth > 0.2, depth, 1e4))
    else:
        spread = blur(np.full(x.shape, 1e4))
    seen = cv2.resize(painted[..., 3], (16, 16), interpolation=cv2.INTER_AREA) > 0.02
    if not seen.any():  # a sliver that no cell of the coarse map is half filled with
        return painted
    low, high = spread[seen].min(), spread[seen].max()
    if high < 0.35:
        return painted
    if high - low < 0.4:
        return cv2.GaussianBlur(painted, (0, 0), (low + high) / 2, borderType=cv2.BORDER_REPLICATE)
    steps = np.array([0, 0.8, 1.6, 3.2, 6.4, 12.8])
    at = cv2.resize(np.interp(spread, steps, np.arange(6)).astype(np.float32), (width, height))
    mixed = np.zeros_like(painted)
    for k in range(int(at.min()), min(5, int(at.max()) + 1) + 1):
        part = cv2.GaussianBlur(painted, (0, 0), steps[k], borderType=cv2.BORDER_REPLICATE) if k else painted
        mixed += part * (1 - np.abs(at - k)).clip(0)[..., None]
    return mixed


def fineness(easel: Easel, point: np.ndarray) -> float:
    """Return how many pixels per metre a texture at a place (3,) needs, within reason."""
    depth = max(0.8, float(easel.w2c[2, :3] @ point + easel.w2c[2, 3]))
    return float(np.clip(1.4 * easel.K[0, 0] / depth, 40, 240))
