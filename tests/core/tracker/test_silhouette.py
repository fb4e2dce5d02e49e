"""The outline of a person widens or narrows the fitted body; keypoints alone cannot."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from emosh_kernels.rasterize import rasterize

from emosh_core.body.pose import pose_from_motion
from emosh_core.geometry.camera import to_camera
from emosh_core.image_io import read_image
from emosh_core.segmentation import person_mask
from emosh_core.settings import TrackConfig
from emosh_core.tracker import silhouette
from emosh_core.tracker.objective import BONES
from emosh_core.tracker.parameters import Observations, Parameters
from emosh_core.tracker.shape import fit_shape

ROOT = Path(__file__).parents[3]


def seen_as(motion, body):
    """Return the mask (H, W) that a motion's first frame covers."""
    verts = body.with_shape_of(motion.shape).with_pose(pose_from_motion(motion)).verts
    cam = to_camera(verts, torch.from_numpy(motion.w2c))
    return rasterize(cam, body.faces, torch.from_numpy(motion.K), motion.size[::-1]).face_id[0].numpy() >= 0


def waist(mask):
    """Width of the trunk in the middle of the picture [px]."""
    row = mask[mask.shape[0] // 2]
    return np.flatnonzero(row).size


@pytest.fixture(scope="module")
def widened(body, make_motion, make_shape):
    """Fit a mean body to the outline of a wider one, with no keypoint to help."""
    wide_direction = np.zeros(32, np.float32)
    rim = (body.template[:, 1] - body.joints[3, 1]).abs() < 0.05  # vertices around the waist
    across = body.body_dirs[rim, 0] * body.template[rim, 0].sign()[:, None]
    wide_direction[:] = across.mean(0).numpy()
    wide_direction *= 2.5 / np.linalg.norm(wide_direction)
    start, truth = make_motion(1), make_motion(1, shape=make_shape(wide_direction))
    pose, points = pose_from_motion(start), 553
    begin = Parameters(
        root=torch.eye(3)[None], body_pose=pose.body_pose, left_hand_pose=pose.left_hand_pose,
        right_hand_pose=pose.right_hand_pose, eye_pose=pose.eye_pose, expression=pose.expression,
        transl=pose.transl, betas_body=torch.zeros(32), betas_head=torch.zeros(64),
    )  # fmt: skip
    nothing = Observations(
        pixels=torch.zeros(1, points, 2), weight=torch.zeros(1, points), depth=torch.zeros(1, points),
        directions=torch.zeros(1, len(BONES), 3), direction_weight=torch.zeros(1, len(BONES)), metre=torch.zeros(1),
        trust=torch.ones(1, 8), begins=torch.ones(1, dtype=torch.bool), planted=torch.zeros(1, 4, dtype=torch.bool),
        touch=torch.zeros(1, dtype=torch.bool), touching=torch.zeros(1, 2, dtype=torch.long),
        body_mean=pose.body_pose, left_hand_mean=pose.left_hand_pose, right_hand_mean=pose.right_hand_pose,
        K=torch.from_numpy(start.K[0]), rate=1.0,
    ).at(begin)  # fmt: skip
    contours = silhouette.trace([seen_as(truth, body)])
    weights = TrackConfig().weights
    fitted = fit_shape(begin, nothing, body, contours, torch.tensor([0]), rounds=8, weights=weights)
    result = replace(
        start,
        shape=replace(start.shape, betas_body=fitted.betas_body.numpy(), betas_head=fitted.betas_head.numpy()),
        body_pose=fitted.body_pose.numpy(), transl=fitted.transl.numpy(),
    )  # fmt: skip
    return seen_as(start, body), seen_as(result, body), seen_as(truth, body)


def test_the_outline_brings_the_width(widened):
    start, result, truth = widened
    assert waist(truth) > waist(start) + 5  # there is something to learn
    overlap = lambda a: (a & truth).sum() / (a | truth).sum()  # noqa: E731
    assert 1 - overlap(result) < 0.5 * (1 - overlap(start))
    assert abs(waist(result) - waist(truth)) < 0.5 * (waist(truth) - waist(start))


def test_points_on_the_edge_of_the_picture_do_not_count():
    mask = np.zeros((80, 60), bool)
    mask[20:, 10:40] = True  # cut off by the lower edge
    contours = silhouette.trace([mask])
    bottom = contours.points[0, :, 1] > 80 - silhouette.BORDER
    assert bottom.any() and (contours.weight[0, bottom] == 0).all() and contours.weight[0].sum() > 100
    right = contours.points[0, :, 0] > 39
    assert (contours.normals[0, right & (contours.points[0, :, 1] > 30), 0] > 0.8).all()  # outward


def test_the_person_is_segmented():
    image = read_image(ROOT / "workspace_template" / "inputs" / "reference" / "ref_short_heavy.jpg")
    mask = person_mask(image)
    assert mask.shape == image.shape[:2] and 0.12 < mask.mean() < 0.3
    assert mask[400, 384] and not mask[:60].any() and not mask[:, :60].any()
    assert not person_mask(np.full((120, 90, 3), 128, np.uint8)).any()
