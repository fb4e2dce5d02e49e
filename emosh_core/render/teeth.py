"""Teeth, which the body model lacks: two arches behind the lips, the lower one follows the jaw."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emosh_core.body.ehm import EhmModel, PosedBody, ShapedBody
from emosh_core.body.joints import HEAD, JAW

COLUMNS = 16
"""Cells along an arch."""
HALF_WIDTH, SAGITTA = 0.026, 0.023
"""Half the width of an arch and how far its ends lie behind its middle [m], for a mouth of the mean width."""
MEAN_MOUTH = 0.047
"""Width of the mean model's mouth [m]."""
BEHIND_LIPS = {"upper": 0.0085, "lower": 0.0105}
"""How far the front teeth lie behind the front of the closed lips [m]."""
SPAN = {"upper": (0.010, -0.0035), "lower": (-0.0025, -0.013)}
"""Top and bottom of each arch above the line where the lips meet [m]."""
PATCH = (128, 48)
"""Width and height of the picture of both arches [px]: the upper one on the left, the lower one on the right."""
IVORY, GUM = np.array([0.91, 0.87, 0.80]), np.array([0.56, 0.28, 0.27])
LIGHT = {"upper": 1.0, "lower": 0.8}
"""The lower lip shades the lower teeth."""
TEETH = 10
"""Teeth along an arch that can be seen."""


@dataclass(frozen=True, eq=False)
class Teeth:
    """Both arches on somebody at rest."""

    rest: dict[str, Tensor]
    """Per arch, points (N, 3) [m] in the axes of the body at rest."""
    shaped: ShapedBody
    jaw_dirs: Tensor
    """(3, 52) how far the jaw moves per expression unit [m]."""
    faces: Tensor
    """(F, 3) over the points of both arches."""
    pixels: Tensor
    """(2 N, 2) where the points lie in the patch [px]."""

    def pose(self, posed: PosedBody, expression: Tensor) -> Tensor:
        """Return the points (T, 2 N, 3) in world axes [m].

        Args:
            posed: the body in T frames.
            expression: (T, 52) weights of the expression units in these.
        """
        shift = (expression @ self.jaw_dirs.T)[:, None]
        upper = self._carry(posed, self.rest["upper"].expand(len(expression), -1, -1), HEAD)
        return torch.cat([upper, self._carry(posed, self.rest["lower"] + shift, JAW)], 1)

    def _carry(self, posed: PosedBody, points: Tensor, joint: int) -> Tensor:
        turn = posed.rotmats[:, joint] @ self.shaped.model.rest_rot[joint]
        return (points - self.shaped.rest_joints[joint]) @ turn.transpose(1, 2) + posed.joints[:, joint, None]


def fit_teeth(shaped: ShapedBody) -> Teeth:
    """Put teeth behind somebody's lips."""
    body = shaped.model
    lips = shaped.rest_verts[_lip_rim(body)].numpy()
    middle = np.array([lips[:, 0].mean(), lips[:, 1].mean(), lips[:, 2].max()])
    size = np.ptp(lips[:, 0]) / MEAN_MOUTH
    across = np.linspace(-1, 1, COLUMNS + 1)
    rest = {}
    for arch, (top, bottom) in SPAN.items():
        x, z = HALF_WIDTH * across, -BEHIND_LIPS[arch] - SAGITTA * across**2
        rows = [np.stack([x, np.full_like(x, y), z], 1) for y in (top, bottom)]
        rest[arch] = torch.as_tensor(middle + size * np.concatenate(rows), dtype=shaped.rest_verts.dtype)
    return Teeth(rest=rest, shaped=shaped, jaw_dirs=_jaw_dirs(body), faces=_faces(), pixels=_pixels())


def paint_teeth() -> np.ndarray:
    """Return the picture of both arches (h, w, 3), 0..1: gaps between the teeth, gums, darker towards the cheeks."""
    width, height = PATCH[0] // 2, PATCH[1]
    u, v = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    gap = np.abs((u * TEETH) % 1 - 0.5) * 2
    tooth = IVORY * (1 - 0.2 * gap[..., None] ** 10)
    gum_line = 0.28 + 0.08 * gap**2
    side = 1 - 0.6 * np.abs(2 * u - 1)[..., None] ** 3
    upper = np.where((v < gum_line)[..., None], GUM, tooth) * side
    return np.concatenate([LIGHT["upper"] * upper, LIGHT["lower"] * upper[::-1]], 1).astype(np.float32)


def _lip_rim(body: EhmModel) -> Tensor:
    """Return the vertices where the lips turn into the mouth."""
    outside, inside = (body.faces[body.face_part == body.part_names.index(p)] for p in ("head", "mouth_cavity"))
    return torch.as_tensor(np.intersect1d(outside.numpy(), inside.numpy()))


def _jaw_dirs(body: EhmModel) -> Tensor:
    """Return (3, 52): the units move the front of the tongue as they move the jaw, save for putting it out."""
    tongue = body.faces[body.face_part == body.part_names.index("tongue")].unique()
    tip = tongue[body.template[tongue, 2] > body.template[tongue, 2].quantile(0.6)]
    moved = torch.isin(body.expression_verts, tip)
    dirs = body.expression_dirs[moved].sum(0) / len(tip)
    dirs[:, body.expression_names.index("tongueOut")] = 0
    return dirs


def _faces() -> Tensor:
    corner = np.arange(COLUMNS)
    strip = np.concatenate([
        np.stack([corner, corner + COLUMNS + 1, corner + 1], 1),
        np.stack([corner + 1, corner + COLUMNS + 1, corner + COLUMNS + 2], 1),
    ])  # fmt: skip
    return torch.as_tensor(np.concatenate([strip, strip + 2 * (COLUMNS + 1)]))


def _pixels() -> Tensor:
    """Return where the points lie in the patch, half a pixel inside so that arches do not mix."""
    width, height = PATCH[0] / 2, PATCH[1]
    x, y = np.meshgrid(np.linspace(0.5, width - 0.5, COLUMNS + 1), [0.5, height - 0.5])
    upper = np.stack([x, y], -1).reshape(-1, 2)
    return torch.as_tensor(np.concatenate([upper, upper + np.array([width, 0])]), dtype=torch.float32)
