"""Condition pictures: the mesh in canonical colours with smooth outlines, face and hand keypoints on top."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from emosh_kernels.interpolate import interpolate
from emosh_kernels.rasterize import Fragments, rasterize
from emosh_kernels.strokes import draw_strokes
from torch import Tensor

from emosh_core.artifacts import Cond, Motion
from emosh_core.body.ehm import EhmModel
from emosh_core.geometry.camera import fit_intrinsics, project
from emosh_core.geometry.keyframes import parse_camera
from emosh_core.geometry.trajectory import move_camera
from emosh_core.render.colors import canonical_colors
from emosh_core.render.ground import FEET, floor_height, grid_segments, grid_strokes
from emosh_core.render.keypoints import keypoint_strokes, trusted_keypoints, visible_keypoints
from emosh_core.render.skeleton import skeleton_strokes
from emosh_core.render.view import views
from emosh_core.settings import RenderConfig

PIXELS_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 24}
"""What one batch of pictures holds: on a CPU it stays in the cache, on a GPU it fills the machine."""


def render_condition(
    motion: Motion, body: EhmModel, config: RenderConfig, progress: Callable[[int, int], None] | None = None
) -> Cond:
    """Draw the condition picture of every frame, on the device of `body`.

    Args:
        motion: usually a target; its keypoint detections are not used but for `skeleton2d`: the drawn
            keypoints are the mesh's own landmarks and so fit it exactly.
        progress: called with (frames drawn, frames).
    """
    count, device = len(motion.transl), body.template.device
    width, height = config.pixels(motion.size)
    fitted = fit_intrinsics(motion.K, motion.size, (width, height))
    middle = np.median(motion.joints[:, 0], axis=0)
    K, w2c = move_camera(fitted, motion.w2c, parse_camera(config.camera), middle)
    segments = grid_segments(floor_height(motion.joints[:, FEET, 1].min(1)), middle) if config.grid else None
    trusted = torch.as_tensor(trusted_keypoints(motion), device=device) & body.landmark_present
    frames = np.zeros((count, height, width, 3), np.uint8)
    mask = np.zeros((count, height, width), bool)
    keypoints = np.zeros((count, motion.confidence.shape[1], 2), np.float32)
    drawn = np.zeros(keypoints.shape[:2], bool)
    at_once = max(1, PIXELS_AT_ONCE[device.type] // (width * height))
    for view in views(replace(motion, w2c=w2c), body, at_once=at_once):
        rows, camera = view.frames, torch.as_tensor(K[view.frames], device=device)
        seen = rasterize(view.verts_cam, body.faces, camera, (height, width), edges=body.edges)
        points, distance = project(view.landmarks_cam, camera), view.landmarks_cam[..., 2]
        visible = trusted[rows] & visible_keypoints(points, distance, seen.depth)
        picture = _surface(seen, body, config)
        if segments is not None:
            picture = draw_strokes(picture, grid_strokes(segments, camera, view.w2c), seen.depth)
        if config.layers in ("hybrid", "keypoints"):
            lines = keypoint_strokes(points, distance, trusted[rows], visible, camera[:, 0, 0])
            picture = draw_strokes(picture, lines, seen.depth)
            drawn[rows] = visible.cpu().numpy()
        if config.layers == "skeleton2d":
            picture = _skeleton(picture, motion, rows, fitted)
        frames[rows], mask[rows] = _bytes(picture), (seen.face_id >= 0).cpu().numpy()
        keypoints[rows] = points.cpu().numpy()
        if progress is not None:
            progress(rows.stop, count)
    return Cond(
        frames=frames, mask=mask, keypoints=keypoints, keypoints_drawn=drawn, valid=motion.person_valid,
        K=K, w2c=w2c, time=motion.time, fps=motion.fps,
    )  # fmt: skip


def _surface(seen: Fragments, body: EhmModel, config: RenderConfig) -> Tensor:
    """Return the mesh in its colours on black (T, H, W, 3), or black alone if the mesh is not wanted."""
    if config.layers in ("hybrid", "mesh"):
        return seen.antialias(interpolate(seen, body.faces, canonical_colors(body)))
    return torch.zeros(*seen.face_id.shape, 3, device=seen.face_id.device)


def _skeleton(picture: Tensor, motion: Motion, rows: slice, fitted: np.ndarray) -> Tensor:
    scale = fitted[0, 0, 0] / motion.K[0, 0, 0]
    shift = fitted[0, :2, 2] - scale * motion.K[0, :2, 2]
    lines = skeleton_strokes(motion, rows, scale, shift, min(picture.shape[1:3]))
    return draw_strokes(picture.cpu(), lines)


def _bytes(picture: Tensor) -> np.ndarray:
    """Round [0, 1] to 0..255; overwrites `picture`."""
    return picture.mul_(255).add_(0.5).to(torch.uint8).cpu().numpy()
