"""Where things lie on the mean body in the T-pose: what garments and hair are measured by."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags

from emosh_core.body.ehm import EhmModel, ShapedBody
from emosh_core.body.joints import HANDS, JOINT_NAMES
from emosh_core.body.pose import zero_pose
from emosh_core.render.colors import mean_in_t_pose

ARM_JOINTS = (16, 17, 18, 19, 20, 21)
HEIGHTS = ((7, 8), (4, 5), (1, 2), (3,), (6,), (9,), (12,), (15,))
"""Joints, one or a pair, whose heights stand for each other on different people."""
REACHES = ((16, 17), (18, 19), (20, 21))
NECK = JOINT_NAMES.index("neck")


@dataclass(frozen=True, eq=False)
class Places:
    """Per vertex of the body, on the mean body in the T-pose [m]."""

    t_pose: np.ndarray
    """(V, 3)."""
    joints: np.ndarray
    """(55, 3)."""
    arms: np.ndarray
    """(V,) how much of a vertex is arm or hand, 0..1."""
    smooth: csr_matrix
    """(V, V) one step of smoothing over the skin: half itself, half the mean of its neighbours."""

    def smoothed(self, values: np.ndarray, steps: int) -> np.ndarray:
        """Smooth values per vertex (V, ...)."""
        flat = values.reshape(len(values), -1)
        for _ in range(steps):
            flat = self.smooth @ flat
        return flat.reshape(values.shape)

    def joint(self, name: str) -> np.ndarray:
        """Return where a joint lies (3,) [m]."""
        return self.joints[JOINT_NAMES.index(name)]


@functools.lru_cache(maxsize=2)
def places(body: EhmModel) -> Places:
    """Measure a body."""
    posed = mean_in_t_pose(body)
    weights = body.lbs_weights
    arms = weights[:, [*ARM_JOINTS, *HANDS["left"], *HANDS["right"]]].sum(1)
    outside = torch.isin(body.face_part, torch.tensor([i for i, n in enumerate(body.part_names) if _is_skin(n)]))
    faces, count = body.faces[outside].numpy(), len(body.template)
    ends = np.concatenate([faces[:, [i, (i + 1) % 3]] for i in range(3)])
    ends = np.concatenate([ends, ends[:, ::-1]])
    joined = csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (count, count))
    joined.data[:] = 1
    degree = np.asarray(joined.sum(1)).ravel()
    half = np.where(degree > 0, 0.5, 0.0)
    smooth = diags(1 - half) + diags(half / np.maximum(degree, 1)) @ joined
    return Places(posed.verts[0].numpy(), posed.joints[0].numpy(), arms.numpy(), smooth.tocsr())


def on_person(shaped: ShapedBody, at: Places) -> np.ndarray:
    """Return where cloth on somebody lies on the mean body: lines that are level on the person stay level.

    Returns:
        (V, 4): x, y, z [m] as on the mean body in the T-pose, and how much of a vertex is arm, 0..1.
    """
    posed = shaped.with_pose(zero_pose())
    verts, joints = at.smoothed(posed.verts[0].numpy(), 4), posed.joints[0].numpy()
    height = lambda places: np.sort([places[list(rows), 1].mean() for rows in HEIGHTS])  # noqa: E731
    reach = lambda places: [0, *(np.abs(places[list(rows), 0]).mean() for rows in REACHES)]  # noqa: E731
    y = _stretch(verts[:, 1], height(joints), height(at.joints))
    x = np.sign(verts[:, 0]) * _stretch(np.abs(verts[:, 0]), reach(joints), reach(at.joints))
    z = verts[:, 2] - joints[NECK, 2] + at.joints[NECK, 2]
    return np.stack([x, y, z, at.arms], 1).astype(np.float32)


def _stretch(values: np.ndarray, of: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Map values piecewise linearly; beyond the ends they keep their distance from them."""
    return np.interp(values, of, to) + (values - of[-1]).clip(0) + (values - of[0]).clip(max=0)


def _is_skin(name: str) -> bool:
    return name in ("body", "head") or name.startswith(("hand.", "foot."))
