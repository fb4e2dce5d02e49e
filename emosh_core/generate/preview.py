"""The preview generator: the fitted mesh, textured from the reference picture, moves. No network."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from emosh_kernels.rasterize import rasterize
from torch import Tensor

from emosh_core.artifacts import Motion
from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import HEAD
from emosh_core.generate.generator import Chunk, Reference
from emosh_core.geometry.camera import fit_intrinsics, project, to_camera
from emosh_core.render.fringe import cut_fringe
from emosh_core.render.picture import fill, sample
from emosh_core.render.shade import interpolate
from emosh_core.render.texture import fit_texture, see, texture_pixels
from emosh_core.render.view import View, views

OVERSAMPLE = 2
"""Frames are drawn this much larger and then averaged: soft outlines, no flicker."""
GROW = 0.02
"""Share of the picture's height by which the person's outline is widened before it is removed."""
GRAIN = 1.5
"""Standard deviation of the noise on filled background [0..255]: without it the fill looks like fog."""
NEAR = 0.05
"""A body that comes nearer to the camera plane than this [m] may touch the whole picture."""
LEAST_COVER = 0.8
"""The background is not made smaller than this share of what covers the frame; its reflection fills the rest."""
PELVIS = 0


class PreviewGenerator:
    """Draws the reference's textured body under the target's motion over the reference's background."""

    name = "preview"
    window = 16
    overlap = 0

    def __init__(self, target: Motion, reference: Reference, body: EhmModel, size: tuple[int, int] | None = None):
        """Fit texture, fringe and background.

        Args:
            target: motion on the reference's shape.
            reference: the still and its fit.
            size: width and height of the frames [px]; the target's by default.
        """
        self.target, self.body = target, body
        self.size = size or target.size
        self.K = fit_intrinsics(target.K, target.size, self.size)
        view = next(views(reference.motion, body))
        K = np.asarray(reference.motion.K, np.float32)
        sight = see(reference.image, reference.mask, view.verts_cam[0], body, K)
        self.texture = fit_texture(sight, body)
        self.texture_pixels = texture_pixels(body)
        image, mask = reference.image, reference.mask
        self.fringe = None if mask is None else cut_fringe(image, mask, reference.motion, view, body)
        plate = clean_plate(image, _silhouette(view, body, K, image.shape[:2]), mask)
        self.background = _place(plate, reference.motion, view, target, body, self.K, self.size)

    def generate(self, indices: np.ndarray, *, seed: int, state: dict[str, np.ndarray]) -> Chunk:
        """Draw these frames; `seed` and `state` change nothing."""
        frames = np.empty((len(indices), self.size[1], self.size[0], 3), np.float32)
        for view in views(self.target, self.body, indices):
            sheet = None if self.fringe is None else self.fringe.move(view)
            for i, t in enumerate(range(view.frames.start, view.frames.stop)):
                frames[t] = self._frame(view.verts_cam[i : i + 1], None if sheet is None else sheet[i : i + 1])
        return Chunk(frames=frames)

    def _frame(self, verts: Tensor, sheet: Tensor | None) -> np.ndarray:
        """Draw the body (1, V, 3) and the fringe (1, N, 3) over the background; (H, W, 3) in [0, 1]."""
        frame = self.background.copy()
        box = _bounds([mesh[0].numpy() for mesh in (verts, sheet) if mesh is not None], self.K, self.size)
        if box is None:
            return frame / 255
        person = self._person(verts, sheet, box)
        part = frame[box[1] : box[3], box[0] : box[2]]
        part *= 1 - person[..., 3:]
        part += person[..., :3]
        return (frame / 255).clip(0, 1)

    def _person(self, verts: Tensor, sheet: Tensor | None, box: tuple[int, int, int, int]) -> np.ndarray:
        """Draw what moves inside a box (x0, y0, x1, y1) [px]; RGBA (h, w, 4), colours times alpha."""
        size = (box[2] - box[0], box[3] - box[1])
        height, width = (side * OVERSAMPLE for side in reversed(size))
        into_box = np.array([[1, 0, -box[0]], [0, 1, -box[1]], [0, 0, 1 / OVERSAMPLE]]) * OVERSAMPLE
        K = torch.as_tensor(into_box @ self.K)
        seen = rasterize(verts, self.body.faces, K, (height, width))
        mask, place = interpolate(seen, 0, self.body.face_uv.numpy(), self.texture_pixels)
        drawn = np.zeros((height, width, 4), np.float32)
        drawn[mask] = np.pad(sample(self.texture, place), ((0, 0), (0, 1)), constant_values=1)
        if sheet is not None:
            faces = self.fringe.unstretched(sheet[0].numpy())
            hanging = rasterize(sheet, faces, K, (height, width))
            mask, place = interpolate(hanging, 0, faces.numpy(), self.fringe.pixels)
            nearer = (hanging.depth < seen.depth)[0].numpy()
            found = sample(self.fringe.picture, place[nearer[mask]])
            alpha = found[:, 3:].copy()
            found[:, 3] = 1
            drawn[nearer] += alpha * (found - drawn[nearer])
            _drop_crumbs(drawn, seen.face_id[0].numpy() >= 0)
        return cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)


def _drop_crumbs(drawn: np.ndarray, body: np.ndarray) -> None:
    """Erase pieces of a torn sheet in `drawn` (H, W, 4) that no longer touch the body (H, W), in place."""
    _, label = cv2.connectedComponents((drawn[..., 3] > 0).astype(np.uint8))
    attached = np.isin(label, np.unique(label[body]))
    drawn[~attached] = 0


def _bounds(meshes: list[np.ndarray], K: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the part x0, y0, x1, y1 [px] of the picture that meshes (N, 3) may touch, None if it has none."""
    verts = np.concatenate(meshes)
    if (verts[:, 2] < NEAR).any():
        return 0, 0, *size
    points = project(verts, K)
    x0, y0 = np.floor(points.min(0)).clip(0, size).astype(int).tolist()
    x1, y1 = np.ceil(points.max(0)).clip(0, size).astype(int).tolist()
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _silhouette(view: View, body: EhmModel, K: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    fragments = rasterize(view.verts_cam, body.faces, torch.as_tensor(K), size)
    return fragments.face_id[0].numpy() >= 0


def clean_plate(image: np.ndarray, silhouette: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Remove the person from a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        silhouette: (H, W) bool, where the fitted mesh lies.
        mask: (H, W) bool, where the person was segmented, if it was.

    Returns:
        (H, W, 3) float32 RGB, 0..255.
    """
    person = silhouette if mask is None else silhouette | mask
    reach = max(3, round(GROW * image.shape[0])) | 1
    hole = cv2.dilate(person.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    keep = 1 - cv2.GaussianBlur(hole.astype(np.float32), (0, 0), reach / 6)
    keep[hole > 0] = 0
    plate = fill(image.astype(np.float32), keep)
    grain = np.random.default_rng(0).normal(0, GRAIN, (*hole.shape, 1)).astype(np.float32)
    return (plate + grain * (1 - keep[..., None])).clip(0, 255)


def _place(plate, motion: Motion, view: View, target: Motion, body: EhmModel, K: np.ndarray, size) -> np.ndarray:
    """Zoom and shift the clean plate so that it surrounds the target's first frame as it did the reference."""
    start = int(np.argmax(target.person_valid))
    now = next(views(target, body, np.array([start])))
    was, here = _anchor(view, motion, motion.K, motion.size), _anchor(now, target, K, size, start)
    both = was.seen & here.seen
    joints = both if both.any() else np.array([True, False])
    old, new = np.array(plate.shape[1::-1]), np.array(size)
    zoom = max(here.scale / was.scale, LEAST_COVER * (new / old).max())
    shift = here.points[joints].mean(0) - zoom * was.points[joints].mean(0)
    free = new - zoom * old
    shift = shift.clip(np.minimum(free, 0), np.maximum(free, 0))
    # Pixel centres are at half integers here and at integers in cv2.
    shift = shift + 0.5 * (zoom - 1)
    warp = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    if zoom < 1:
        plate = cv2.GaussianBlur(plate, (0, 0), 0.4 / zoom)
    return cv2.warpAffine(plate, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


@dataclass(frozen=True)
class _Anchors:
    points: np.ndarray
    """(2, 2) head and pelvis [px]."""
    seen: np.ndarray
    """(2,) bool: inside the picture."""
    scale: float
    """Pixels per metre at the head's distance."""


def _anchor(view: View, motion: Motion, K: np.ndarray, size: tuple[int, int], frame: int = 0) -> _Anchors:
    joints = to_camera(view.posed.joints[:1, [HEAD, PELVIS]].numpy(), motion.w2c[frame : frame + 1])[0]
    points = project(joints, K)
    seen = ((points >= 0) & (points <= size)).all(1)
    return _Anchors(points, seen, float(K[1, 1] / max(joints[0, 2], 0.05)))
