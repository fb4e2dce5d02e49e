"""The fitted mesh over the video it was fitted to, for a person to judge the fit."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch
from emosh_kernels.interpolate import interpolate
from emosh_kernels.rasterize import rasterize

from emosh_core.artifacts import KEYPOINTS, Motion, keypoint_slice
from emosh_core.body.ehm import EhmModel
from emosh_core.render.shade import lambert, vertex_normals
from emosh_core.render.view import views

MESH_COLOR = (110, 190, 255)
OPACITY = 0.55
DOT_COLORS = {"body": (255, 210, 0), "left_hand": (80, 255, 80), "right_hand": (255, 80, 80), "face": (255, 255, 255)}
CONFIDENT = 0.3
"""Detections below this confidence are not shown."""
SUBPIXEL_BITS = 4


def overlay_frames(frames: Iterable[np.ndarray], motion: Motion, body: EhmModel) -> Iterator[np.ndarray]:
    """Draw the shaded mesh and the detected keypoints over each frame.

    Args:
        frames: (H, W, 3) uint8 RGB each, as many as `motion` has, of the size it states.

    Yields:
        New pictures of the same size.
    """
    source = iter(frames)
    width, height = motion.size
    K = torch.as_tensor(motion.K)
    for view in views(motion, body):
        seen = rasterize(view.verts_cam, body.faces, K[view.frames], (height, width))
        normals = interpolate(seen, body.faces, vertex_normals(view.verts_cam, body.faces)).numpy()
        masks = (seen.face_id >= 0).numpy()
        for i, t in enumerate(range(view.frames.start, view.frames.stop)):
            image = next(source).copy()
            if motion.person_valid[t]:
                _blend(image, masks[i], normals[i])
            _dots(image, motion.keypoints2d[t], motion.confidence[t])
            yield image


def _blend(image: np.ndarray, mask: np.ndarray, normals: np.ndarray) -> None:
    """Lay the shaded mesh over a picture, in place: where it is (H, W) and its normals (H, W, 3)."""
    shaded = lambert(normals[mask])[:, None] * np.asarray(MESH_COLOR, np.float32)
    image[mask] = np.rint((1 - OPACITY) * image[mask] + OPACITY * shaded).astype(np.uint8)


def _dots(image: np.ndarray, points: np.ndarray, confidence: np.ndarray) -> None:
    """Mark the detected keypoints on a picture, in place."""
    unit = min(image.shape[:2]) / 512
    for part in KEYPOINTS:
        rows = keypoint_slice(part)
        radius = unit * (0.8 if part == "face" else 2.5)
        for x, y in points[rows][confidence[rows] >= CONFIDENT]:
            centre = [round((float(v) - 0.5) * (1 << SUBPIXEL_BITS)) for v in (x, y)]
            cv2.circle(image, centre, round(radius * (1 << SUBPIXEL_BITS)), DOT_COLORS[part], -1, cv2.LINE_AA,
                       SUBPIXEL_BITS)  # fmt: skip
