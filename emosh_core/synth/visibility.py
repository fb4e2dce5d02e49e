"""Which joints and landmarks a camera sees: exact, from what each pixel shows of the person."""

from dataclasses import dataclass

import torch
from torch import Tensor

from emosh_core.artifacts import KEYPOINTS
from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import PARENTS
from emosh_core.geometry.camera import project
from emosh_core.synth.draw import OVERSAMPLE, Drawn
from emosh_core.synth.figure import Figure

REACH = {"joint": 0.16, "body": 0.16, "left_hand": 0.025, "right_hand": 0.025, "face": 0.015}
"""How far under the surface that is seen a point may lie [m]: joints lie inside limbs and trunk, below clothes."""
TRUNK, TRUNK_REACH = (0, 3, 6, 9), 0.25
"""Pelvis and spine lie near the back [m]."""
FACE_IN_BODY, FACE_REACH_IN_BODY = 11, 0.05
"""The first of MediaPipe's body landmarks lie on the face, or a little in it [m]."""
AROUND = tuple((x, y) for y in (-1, 0, 1) for x in (-1, 0, 1))
"""Fine pixels that are looked at: a point on an outline has half of its own pixel beyond it."""
OF_THE_PART = 0.5
"""A surface belongs to a point if this share of its skin weight is on the point's joints and their neighbours."""


@dataclass(frozen=True, eq=False)
class Points:
    """What visibility is asked of: the 55 joints, then the 553 landmarks."""

    owners: Tensor
    """(N, 55) which joints move the surface around each point, 0..1."""
    reach: Tensor
    """(N,) [m]."""
    face_weights: Tensor
    """(F, 55) mean skin weights of each face of the figure's solid part."""


def points_of(figure: Figure) -> Points:
    """Prepare the points of a figure."""
    body: EhmModel = figure.shaped.model
    weights = figure.binding.lbs_weights
    landmarks = (body.lbs_weights[body.landmark_verts] * body.landmark_weights[..., None]).sum(1)
    near = torch.eye(len(PARENTS), device=weights.device, dtype=weights.dtype)
    for joint, parent in enumerate(PARENTS[1:], 1):
        near[joint, parent] = near[parent, joint] = 1
    owners = (torch.cat([torch.eye(len(PARENTS)).to(weights), landmarks]) @ near).clamp(max=1)
    reach = [REACH["joint"]] * len(PARENTS)
    for joint in TRUNK:
        reach[joint] = TRUNK_REACH
    for part, count in KEYPOINTS.items():
        reach += [REACH[part]] * count
    first = len(PARENTS)
    reach[first : first + FACE_IN_BODY] = [FACE_REACH_IN_BODY] * FACE_IN_BODY
    return Points(owners, weights.new_tensor(reach), weights[figure.parts[0].faces.long()].mean(1))


def visible(points: Points, in_camera: Tensor, K: Tensor, drawn: Drawn) -> Tensor:
    """Say which points are seen (T, N) bool: inside the picture, not behind anything, on a surface of their part.

    Args:
        in_camera: (T, N, 3) where the points are in camera axes [m].
        K: (T, 3, 3) [px].
        drawn: the pictures.
    """
    height, width = drawn.frames.shape[1:3]
    place = project(in_camera, K)
    inside = (place >= 0).all(-1) & (place[..., 0] < width) & (place[..., 1] < height) & (in_camera[..., 2] > 0)
    face_id, depth = drawn.solid.face_id.flatten(1), drawn.solid.depth.flatten(1)
    rows, columns = drawn.solid.face_id.shape[1:]
    fine = ((place - place.new_tensor(drawn.corner)) * OVERSAMPLE).floor().clamp(-2, 1 << 20).long()
    seen = torch.zeros_like(inside)
    for x, y in AROUND:
        column, row = fine[..., 0] + x, fine[..., 1] + y
        there = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        pixel = row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)
        face = face_id.gather(1, pixel)
        near = depth.gather(1, pixel) > in_camera[..., 2] - points.reach
        own = (points.face_weights[face.clamp(min=0).long()] * points.owners).sum(-1) > OF_THE_PART
        seen |= there & (face >= 0) & near & own
    return seen & inside
