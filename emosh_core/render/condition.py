"""Condition pictures: the mesh in canonical colours, face and hand keypoints on top."""

from collections.abc import Callable

import numpy as np
import torch
from emosh_kernels.rasterize import Fragments, rasterize

from emosh_core.artifacts import Cond, Motion, keypoint_slice
from emosh_core.body.ehm import EhmModel
from emosh_core.geometry.camera import fit_intrinsics, project
from emosh_core.render.colors import canonical_colors
from emosh_core.render.keypoints import draw_keypoints, visible_keypoints
from emosh_core.render.shade import interpolate
from emosh_core.render.view import views
from emosh_core.settings import RenderConfig


def render_condition(
    motion: Motion, body: EhmModel, config: RenderConfig, progress: Callable[[int, int], None] | None = None
) -> Cond:
    """Draw the condition picture of every frame.

    Args:
        motion: usually a target; its camera is used, its keypoint detections are not: the drawn
            keypoints are the mesh's own landmarks and so fit it exactly.
        progress: called with (frames drawn, frames).
    """
    count = len(motion.transl)
    width, height = config.pixels(motion.size)
    K = fit_intrinsics(motion.K, motion.size, (width, height))
    colors, faces = canonical_colors(body).numpy() * np.float32(255), body.faces.numpy()
    frames = np.zeros((count, height, width, 3), np.uint8)
    mask = np.zeros((count, height, width), bool)
    keypoints = np.zeros((count, motion.confidence.shape[1], 2), np.float32)
    drawn = np.zeros(keypoints.shape[:2], bool)
    trusted = trusted_keypoints(motion)
    for view in views(motion, body):
        fragments = rasterize(view.verts_cam, body.faces, torch.as_tensor(K), (height, width))
        points = project(view.landmarks_cam.numpy(), K)
        for i, t in enumerate(range(view.frames.start, view.frames.stop)):
            keypoints[t] = points[i]
            distance, depth = view.landmarks_cam[i, :, 2].numpy(), fragments.depth[i].numpy()
            drawn[t] = trusted[t] & visible_keypoints(points[i], distance, depth) & (config.layers != "mesh")
            mask[t] = fragments.face_id[i].numpy() >= 0
            if config.layers != "keypoints":
                frames[t][mask[t]] = _paint(fragments, i, faces, colors)
            draw_keypoints(frames[t], keypoints[t], drawn[t])
        if progress is not None:
            progress(view.frames.stop, count)
    return Cond(
        frames=frames, mask=mask, keypoints=keypoints, keypoints_drawn=drawn, valid=motion.person_valid,
        K=K, w2c=motion.w2c, time=motion.time, fps=motion.fps,
    )  # fmt: skip


def _paint(fragments: Fragments, frame: int, faces: np.ndarray, colors: np.ndarray) -> np.ndarray:
    return np.rint(interpolate(fragments, frame, faces, colors)[1]).astype(np.uint8)


def trusted_keypoints(motion: Motion) -> np.ndarray:
    """Return (T, N) bool: the points of the face and of hands in frames where these were tracked."""
    trusted = np.zeros(motion.confidence.shape, bool)
    for part in ("face", "left_hand", "right_hand"):
        trusted[:, keypoint_slice(part)] = getattr(motion, f"{part}_valid")[:, None]
    return trusted
