"""A motion as its camera sees it, a few frames at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from emosh_core.artifacts import Motion
from emosh_core.body.ehm import EhmModel, PosedBody, ShapedBody
from emosh_core.body.pose import pose_from_motion
from emosh_core.geometry.camera import to_camera

FRAMES_AT_ONCE = 16
"""Bounds the memory of posing and rasterising."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A few consecutive frames of a motion as a camera sees them."""

    frames: slice
    posed: PosedBody
    w2c: torch.Tensor
    """(T, 4, 4)."""
    verts_cam: torch.Tensor
    """(T, V, 3) [m]."""
    landmarks_cam: torch.Tensor
    """(T, N, 3) [m], in the order of `artifacts.KEYPOINTS`."""


def views(
    motion: Motion, body: EhmModel, indices: np.ndarray | None = None, *, shaped: ShapedBody | None = None,
    at_once: int = FRAMES_AT_ONCE,
) -> Iterator[View]:  # fmt: skip
    """Pose a motion a few frames at a time, in camera axes, on the device of `body`.

    Args:
        indices: frames to show, in this order; all by default. `View.frames` counts along them.
        shaped: who is shown; the motion's own shape by default.
        at_once: how many frames a view has at most.
    """
    indices = np.arange(len(motion.transl)) if indices is None else indices
    shaped, device = body.with_shape_of(motion.shape) if shaped is None else shaped, body.template.device
    pose, w2c = pose_from_motion(motion, device=device), torch.as_tensor(motion.w2c, device=device)
    for first in range(0, len(indices), at_once):
        rows = torch.as_tensor(indices[first : first + at_once], device=device)
        with torch.no_grad():
            part = replace(pose, **{field.name: getattr(pose, field.name)[rows] for field in fields(pose)})
            posed = shaped.with_pose(part)
            yield View(
                frames=slice(first, first + len(rows)),
                posed=posed,
                w2c=w2c[rows],
                verts_cam=to_camera(posed.verts, w2c[rows]),
                landmarks_cam=to_camera(posed.landmarks(), w2c[rows]),
            )
