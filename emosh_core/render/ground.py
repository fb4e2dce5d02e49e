"""A grid on the floor: an optional cue whether the camera moved or the body turned (an experiment)."""

import numpy as np
import torch
from emosh_kernels.strokes import Strokes
from torch import Tensor

from emosh_core.geometry.camera import project, to_camera

FEET = (7, 8, 10, 11)
"""Joints of ankles and toes."""
SPACING = 0.5
"""Between lines [m]."""
REACH = 3.0
"""Half the side of the grid [m]."""
STEP = 0.25
"""Lines are cut into pieces of this length [m], so that those that pass the camera are left out alone."""
LINE_WIDTH = 0.012
COLOR = (0.35, 0.35, 0.35)
NEAREST = 0.1
"""Pieces nearer to the camera plane than this are left out [m]."""


def floor_height(lowest: np.ndarray) -> float:
    """Return where the floor is: the level that the lowest point of the body (T,) [m] seldom passes."""
    return float(np.quantile(lowest, 0.1)) if len(lowest) else 0.0


def grid_segments(height: float, centre: np.ndarray) -> np.ndarray:
    """Return the pieces of a grid (N, 2, 3) in world axes [m] around the point of the floor below `centre` (3,)."""
    lines = np.arange(-REACH, REACH + 1e-6, SPACING)
    cuts = np.arange(-REACH, REACH + 1e-6, STEP)
    across, along = (values.ravel() for values in np.meshgrid(lines, cuts[:-1], indexing="ij"))
    flat = np.stack([np.stack([across, along], -1), np.stack([across, along + STEP], -1)], 1)
    flat = np.concatenate([flat, flat[..., ::-1]])
    # The grid stands still in the world: its lines lie at multiples of the spacing.
    home = np.round(centre[[0, 2]] / SPACING) * SPACING
    x, z = np.moveaxis(flat + home, -1, 0)
    return np.stack([x, np.full_like(x, height), z], -1).astype(np.float32)


def grid_strokes(segments: np.ndarray, K: Tensor, w2c: Tensor) -> Strokes:
    """Return the grid as cameras K (T, 3, 3) [px] and w2c (T, 4, 4) see it."""
    ends = to_camera(torch.as_tensor(segments, device=w2c.device).flatten(0, 1), w2c).unflatten(1, (-1, 2))
    distance = ends[..., 2]
    count = ends.shape[1]
    points = project(ends.flatten(1, 2), K).unflatten(1, (-1, 2))
    width = LINE_WIDTH * K[:, 0, 0, None] / distance.mean(-1).clamp(min=NEAREST)
    return Strokes(
        ends=points, distance=distance, width=width, color=torch.tensor([COLOR], device=w2c.device).expand(count, 3),
        tolerance=torch.zeros(count, device=w2c.device), drawn=(distance > NEAREST).all(-1),
    )  # fmt: skip
