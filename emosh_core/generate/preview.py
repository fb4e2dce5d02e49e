"""The preview generator: the fitted mesh, dressed and textured from the reference picture, moves. No network."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from emosh_kernels.composite import Layer, composite
from emosh_kernels.rasterize import rasterize
from torch import Tensor

from emosh_core.artifacts import Motion
from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import HEAD
from emosh_core.errors import ConfigError
from emosh_core.generate.generator import Chunk, Reference
from emosh_core.geometry.camera import fit_intrinsics, project, to_camera
from emosh_core.render.dress import dress
from emosh_core.render.eyes import fit_eyes
from emosh_core.render.fringe import cut_fringe
from emosh_core.render.ground import FEET, floor_height
from emosh_core.render.plate import clean_plate
from emosh_core.render.skin import Figure, Skin
from emosh_core.render.surroundings import Surroundings
from emosh_core.render.texture import fit_texture, see
from emosh_core.render.view import View, views

OVERSAMPLE = 2
"""Frames are drawn this much larger and then averaged: soft outlines, no flicker."""
NEAR = 0.05
"""A body that comes nearer to the camera plane than this [m] may touch the whole picture."""
LEAST_COVER = 0.8
"""The background is not made smaller than this share of what covers the frame; its reflection fills the rest."""
SOLE = 0.02
"""Height of a foot's joint above the floor that it stands on [m]."""
LEAST_KNOWN = 0.6
"""Where it would fill less than this, although its place is known, it is placed as if it were not."""
WALL = 3.0
"""The background moves with the camera as a wall at this multiple of the person's distance."""
PIXELS_AT_ONCE = 1 << 20
"""Fine pixels drawn in one go; bounds the memory."""
AROUND_HEAD = 0.025
"""Share of the picture's height around the head in which hair is looked for."""
NO_BACKGROUND = 14.0
"""Pixels that differ more than this from the filled background (RGB, 0..255) are not background."""
PELVIS = 0


@dataclass(frozen=True)
class Cameras:
    """One camera per frame of the target."""

    K: np.ndarray
    """(3, 3) or (T, 3, 3) [px]."""
    w2c: np.ndarray
    """(T, 4, 4)."""


class PreviewGenerator:
    """Draws the reference's textured body under the target's motion over the reference's background."""

    name = "preview"
    window = 16
    overlap = 0
    workload = None

    def __init__(
        self, target: Motion, reference: Reference, body: EhmModel, size: tuple[int, int] | None = None,
        cameras: Cameras | None = None,
    ):  # fmt: skip
        """Fit clothes, texture, fringe and background.

        Args:
            target: motion on the reference's shape.
            reference: the still and its fit.
            size: width and height of the frames [px]; the target's by default.
            cameras: what the frames are seen by; the target's own by default, its picture fitted into `size`.
        """
        self.body, self.size = body, size or target.size
        if cameras is None:
            cameras = Cameras(fit_intrinsics(target.K, target.size, self.size), target.w2c)
        self.target = replace(target, w2c=np.asarray(cameras.w2c, np.float32))
        self.K = np.broadcast_to(np.asarray(cameras.K, np.float32), (len(target.time), 3, 3))
        still, motion, mask = reference.image, reference.motion, reference.mask
        K = np.asarray(motion.K[0], np.float32)
        self.shaped = body.with_shape_of(motion.shape)
        view = next(views(motion, body, shaped=self.shaped))
        silhouette, head = _silhouettes(view, body, K, still.shape[:2])
        plate = clean_plate(still, silhouette, mask)
        if mask is not None:
            mask = _with_hair(mask, head, still, plate)
            self.shaped = dress(self.shaped, motion, view, mask)
            view = next(views(motion, body, shaped=self.shaped))
        self.skin = Skin(fit_texture(see(still, mask, view.verts_cam[0], body, K), body), body, self.shaped,
                         fit_eyes(still, view, body, K))  # fmt: skip
        self.fringe = None if mask is None else cut_fringe(still, mask, motion, view, self.shaped)
        self.start = int(np.argmax(target.person_valid))
        self.surroundings = self._surround(plate / 255, reference, view)
        self._still_background = self._see(self.start)

    def split(self, gpus: int) -> None:
        """Refuse: there is nothing to split."""
        raise ConfigError("the preview generator has no network to split", found=f"{gpus} GPUs", fix='parallel = ""')

    def use_window(self, frames: int) -> None:
        """Draw so many frames in a chunk."""
        self.window = frames

    def generate(self, indices: np.ndarray, *, seed: int, state: dict[str, np.ndarray]) -> Chunk:
        """Draw these frames; `seed` and `state` change nothing."""
        frames = np.stack([self._background(t) for t in indices])
        for view in views(self.target, self.body, indices, shaped=self.shaped):
            rows = np.arange(view.frames.start, view.frames.stop)
            expression = torch.as_tensor(self.target.expression[indices[rows]])
            sheet = None if self.fringe is None else self.fringe.move(view)
            figure = self.skin.dress(view, expression)
            self._draw(figure, sheet, self.K[indices[rows]], frames[view.frames])
        return Chunk(frames=np.clip(frames, 0, 1, out=frames))

    def _draw(self, figure: Figure, sheet: Tensor | None, K: np.ndarray, frames: np.ndarray) -> None:
        """Draw the body and the fringe (T, N, 3) over frames (T, H, W, 3), in place."""
        meshes = [mesh.numpy() for mesh in (figure.verts, sheet) if mesh is not None]
        boxes = [_bounds([mesh[t] for mesh in meshes], K[t], self.size) for t in range(len(K))]
        seen = [t for t, box in enumerate(boxes) if box is not None]
        for some in _batches(seen, boxes):
            corner = np.array([boxes[t][:2] for t in some])
            width, height = (np.array([boxes[t][2:] for t in some]) - corner).max(0)
            corner = np.minimum(corner, np.array(self.size) - [width, height])
            parts = [frames[t, y : y + height, x : x + width] for t, (x, y) in zip(some, corner, strict=True)]
            layers = self._layers(figure, sheet, some, torch.as_tensor(_into(corner) @ K[some]),
                                  (height * OVERSAMPLE, width * OVERSAMPLE))  # fmt: skip
            drawn = composite(layers, torch.from_numpy(np.stack(parts)), oversample=OVERSAMPLE)
            for part, new in zip(parts, drawn.numpy(), strict=True):
                part[:] = new

    def _layers(self, figure: Figure, sheet: Tensor | None, some: list[int], K: Tensor, size) -> list[Layer]:
        """Rasterise what moves in some of the frames."""
        seen = rasterize(figure.verts[some], self.skin.faces, K, size)
        layers = [Layer(seen, self.skin.rows, figure.values[some], self.skin.texture)]
        if sheet is not None:
            fragments = rasterize(sheet[some], self.fringe.faces, K, size)
            layers.append(Layer(fragments, self.fringe.faces, self.fringe.values(sheet[some]), self.fringe.texture))
        return layers

    def _background(self, t: int) -> np.ndarray:
        """Return what the camera of frame t sees of the plate (H, W, 3)."""
        same = np.array_equal(self.K[t], self.K[self.start])
        if same and np.array_equal(self.target.w2c[t], self.target.w2c[self.start]):
            return self._still_background
        return self._see(t)

    def _see(self, t: int) -> np.ndarray:
        return self.surroundings.see(self.K[t], self.target.w2c[t], self.size)

    def _surround(self, plate: np.ndarray, reference: Reference, view: View) -> Surroundings:
        """Put the clean plate behind the target.

        Of the same scene it is where it was. Else it is zoomed and shifted until it surrounds the target's first
        frame as it did the reference, as if that frame's camera had taken it.
        """
        fit, camera = reference.motion, reference.camera
        was = _anchor(view, fit.w2c[0], fit.K[0], fit.size)
        now = next(views(self.target, self.body, np.array([self.start]), shaped=self.shaped))
        here = _anchor(now, self.target.w2c[self.start], self.K[self.start], self.size)
        lowest = self.target.joints[np.asarray(self.target.person_valid, bool)][:, FEET, 1].min(1)
        floor = floor_height(lowest) - SOLE if here.stands and len(lowest) else None
        old, new = np.array(plate.shape[1::-1]), np.array(self.size)
        if camera is not None and (self.K[self.start, 1, 1] / camera.K[1, 1] * old >= LEAST_KNOWN * new).all():
            # The fit may have another focal length, and so another distance.
            wall = WALL * was.distance * camera.K[1, 1] / fit.K[0, 1, 1]
            return Surroundings(plate=plate, K=camera.K, w2c=camera.w2c, wall=wall, floor=floor)
        both = was.seen & here.seen
        joints = both if both.any() else np.array([True, False])
        zoom = max(here.scale / was.scale, LEAST_COVER * (new / old).max())
        shift = here.points[joints].mean(0) - zoom * was.points[joints].mean(0)
        free = new - zoom * old
        shift = shift.clip(np.minimum(free, 0), np.maximum(free, 0))
        placed = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]], [0, 0, 1]])
        return Surroundings(plate=plate, K=np.linalg.inv(placed) @ self.K[self.start],
                            w2c=self.target.w2c[self.start], wall=WALL * here.distance,
                            floor=floor if was.stands else None)  # fmt: skip


def _with_hair(mask: np.ndarray, head: np.ndarray, image: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """Add to the person (H, W) what is on or near the fitted head (H, W) and is not background: pale hair.

    Only a plain background around the head can be told from hair.
    """
    reach = max(3, round(AROUND_HEAD * image.shape[0])) | 1
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    near = cv2.dilate(head.astype(np.uint8), ellipse)
    around = image[(cv2.dilate(near, ellipse, iterations=3) > near) & ~mask].astype(np.float32)
    if not len(around) or np.median(np.abs(around - np.median(around, axis=0)).sum(1)) > NO_BACKGROUND:
        return mask
    other = np.linalg.norm(cv2.GaussianBlur(image.astype(np.float32) - plate, (0, 0), 1.0), axis=2) > NO_BACKGROUND
    found = cv2.morphologyEx(((near > 0) & other).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return mask | (found > 0)


def _into(corner: np.ndarray) -> np.ndarray:
    """Return the matrices (T, 3, 3) from the picture's pixels to the fine pixels of boxes with these corners (T, 2)."""
    into = np.tile(np.diag([OVERSAMPLE, OVERSAMPLE, 1.0]), (len(corner), 1, 1))
    into[:, :2, 2] = -OVERSAMPLE * corner
    return into.astype(np.float32)


def _batches(frames: list[int], boxes: list) -> list[list[int]]:
    """Group frames so that none needs more than PIXELS_AT_ONCE; a box is x0, y0, x1, y1 [px]."""
    groups: list[list[int]] = []
    for t in frames:
        group = [*groups[-1], t] if groups else [t]
        width, height = (max(boxes[i][k + 2] - boxes[i][k] for i in group) for k in (0, 1))
        if groups and len(group) * width * height * OVERSAMPLE**2 <= PIXELS_AT_ONCE:
            groups[-1] = group
        else:
            groups.append([t])
    return groups


def _bounds(meshes: list[np.ndarray], K: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the part x0, y0, x1, y1 [px] of the picture that meshes (N, 3) may touch, None if it has none."""
    verts = np.concatenate(meshes)
    if (verts[:, 2] < NEAR).any():
        return 0, 0, *size
    points = project(verts, K)
    x0, y0 = np.floor(points.min(0)).clip(0, size).astype(int).tolist()
    x1, y1 = np.ceil(points.max(0)).clip(0, size).astype(int).tolist()
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _silhouettes(view: View, body: EhmModel, K: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return where the body and where its head is seen, each (H, W) bool."""
    face_id = rasterize(view.verts_cam, body.faces, torch.as_tensor(K), size).face_id[0].numpy()
    head = body.face_part.numpy() == body.part_names.index("head")
    return face_id >= 0, (face_id >= 0) & head[face_id]


@dataclass(frozen=True)
class _Anchors:
    points: np.ndarray
    """(2, 2) head and pelvis [px]."""
    seen: np.ndarray
    """(2,) bool: inside the picture."""
    scale: float
    """Pixels per metre at the head's distance."""
    distance: float
    """Distance of the pelvis [m]."""
    stands: bool
    """Whether a foot is in the picture."""


def _anchor(view: View, w2c: np.ndarray, K: np.ndarray, size: tuple[int, int]) -> _Anchors:
    joints = to_camera(view.posed.joints[0, [HEAD, PELVIS, *FEET]].numpy(), w2c)
    points = project(joints, K)
    seen = ((points >= 0) & (points <= size)).all(1) & (joints[:, 2] > NEAR)
    near = joints[:, 2].clip(NEAR)
    return _Anchors(points[:2], seen[:2], float(K[1, 1] / near[0]), float(near[1]), bool(seen[2:].any()))
