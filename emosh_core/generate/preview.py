"""The preview generator: the fitted mesh, textured from the reference picture, moves. No network."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from emosh_kernels.rasterize import rasterize

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
PELVIS = 0


@dataclass(frozen=True)
class _Layer:
    """A picture drawn from a mesh, with its distance to the camera."""

    color: np.ndarray
    """(H, W, 3) float32."""
    alpha: np.ndarray
    """(H, W, 1) float32 in [0, 1]."""
    depth: np.ndarray
    """(H, W) [m]."""


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
            for layers, t in zip(self._layers(view), range(view.frames.start, view.frames.stop), strict=True):
                frames[t] = self._compose(layers)
        return Chunk(frames=frames)

    def _layers(self, view: View):
        """Yield the layers of each frame: the body and, if there is one, the fringe."""
        meshes = [(view.verts_cam, self.body.faces, self.texture, self.texture_pixels, self.body.face_uv.numpy())]
        if self.fringe is not None:
            verts = self.fringe.move(view)
            faces = self.fringe.faces
            meshes.append((verts, faces, self.fringe.picture, self.fringe.pixels, faces.numpy()))
        width, height = (side * OVERSAMPLE for side in self.size)
        K = torch.as_tensor(fit_intrinsics(self.K, self.size, (width, height)))
        drawn = [rasterize(verts, faces, K, (height, width)) for verts, faces, *_ in meshes]
        for i in range(len(view.verts_cam)):
            yield [
                _draw(fragments, i, picture, pixels, face_pixels)
                for fragments, (_, _, picture, pixels, face_pixels) in zip(drawn, meshes, strict=True)
            ]

    def _compose(self, layers: list[_Layer]) -> np.ndarray:
        """Lay the body and what is nearer or farther of the fringe over the background; (H, W, 3) in [0, 1]."""
        body = layers[0]
        color, alpha = body.color * body.alpha, body.alpha
        for layer in layers[1:]:
            before = (layer.depth < body.depth)[..., None]
            share = layer.alpha * np.where(before, 1, 1 - alpha)
            color = color * np.where(before, 1 - layer.alpha, 1) + layer.color * share
            alpha = np.where(before, layer.alpha + alpha * (1 - layer.alpha), alpha + share)
        small = cv2.resize(np.concatenate([color, alpha], 2), self.size, interpolation=cv2.INTER_AREA)
        return ((small[..., :3] + self.background * (1 - small[..., 3:])) / 255).clip(0, 1)


def _draw(fragments, frame: int, picture: np.ndarray, pixels: np.ndarray, face_pixels: np.ndarray) -> _Layer:
    """Texture the covered pixels of a frame from an RGB or RGBA picture."""
    mask, place = interpolate(fragments, frame, face_pixels, pixels)
    found = sample(picture, place)
    color, alpha = np.zeros((*mask.shape, 3), np.float32), np.zeros((*mask.shape, 1), np.float32)
    color[mask] = found[:, :3]
    alpha[mask] = found[:, 3:] if found.shape[1] == 4 else 1
    return _Layer(color, alpha, fragments.depth[frame].numpy())


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
    zoom = here.scale / was.scale
    shift = here.points[joints].mean(0) - zoom * was.points[joints].mean(0)
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
