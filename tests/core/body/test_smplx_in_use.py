"""The user's body model where the embedded one is used: retargeting and condition pictures."""

import dataclasses

import numpy as np
import pytest
import torch

from emosh_core.artifacts import Shape, keypoint_slice
from emosh_core.body.pose import pose_from_motion
from emosh_core.body.smplx import read_smplx
from emosh_core.errors import ArtifactError
from emosh_core.render.condition import render_condition
from emosh_core.retarget import RetargetConfig, retarget
from emosh_core.settings import RenderConfig


@pytest.fixture(scope="module")
def model(licensed):
    return read_smplx(licensed)


def person(seed: int) -> Shape:
    rng = np.random.default_rng(seed)
    return Shape(
        betas_body=rng.normal(0, 1, 300).astype(np.float32), betas_head=rng.normal(0, 1, 300).astype(np.float32),
        betas_body_std=np.ones(300, np.float32), betas_head_std=np.ones(300, np.float32), head_scale=1.05,
        hand_scale=0.95, body_model="smplx",
    )  # fmt: skip


@pytest.fixture
def motion(make_motion, model):
    """Two frames; the mouth and the lids move."""
    plain = make_motion(2, size=(160, 200))
    moving = dataclasses.replace(
        plain, shape=person(0), body_model="smplx", expression=np.zeros((2, 100), np.float32),
        jaw_pose=np.float32([[0, 0, 0], [0.3, 0, 0]]), eyelid=np.float32([[0, 0], [1, 0]]),
    )  # fmt: skip
    posed = model.for_landmarks().with_shape_of(moving.shape).with_pose(pose_from_motion(moving))
    return dataclasses.replace(moving, joints=posed.joints.numpy())


def test_retargeting_swaps_identity_and_keeps_pose_and_eye_row(model, motion):
    reference = dataclasses.replace(motion, shape=person(7))
    target = retarget(motion, reference, model, RetargetConfig())
    assert target.shape is reference.shape
    for name in ("jaw_pose", "eye_pose", "eyelid", "expression", "global_orient"):
        assert np.array_equal(getattr(target, name), getattr(motion, name))
    rows = []
    for one in (motion, target):
        eyes = one.joints[:, 23:25].mean(1)
        camera = eyes @ one.w2c[0, :3, :3].T + one.w2c[0, :3, 3]
        rows.append(camera[:, 1] / camera[:, 2])
    assert np.abs(np.median(rows[0] - rows[1])) < 1e-4


def test_condition_pictures_show_the_mesh_and_only_known_points(model, motion):
    cond = render_condition(motion, model, RenderConfig())
    assert cond.mask.any((1, 2)).all() and cond.frames[cond.mask].any(-1).mean() > 0.99
    face = cond.keypoints_drawn[:, keypoint_slice("face")]
    assert not face[:, ~model.landmark_present[keypoint_slice("face")].numpy()].any()
    assert np.isfinite(cond.keypoints).all()


def test_eyelids_and_jaw_of_a_motion_reach_the_mesh(model, motion):
    pose, shaped = pose_from_motion(motion), model.with_shape_of(motion.shape)
    for name in ("eyelid", "jaw_pose"):
        quiet = dataclasses.replace(pose, **{name: torch.zeros_like(getattr(pose, name))})
        moved = (shaped.with_pose(pose).verts - shaped.with_pose(quiet).verts).norm(dim=-1)
        assert moved[0].max() == 0 and moved[1].max() > 1e-3
        assert moved[:, model.head_mask == 0].max() == 0


def test_a_shape_of_another_body_is_refused(model, make_shape):
    with pytest.raises(ArtifactError, match="the shape belongs to another body model"):
        model.with_shape_of(make_shape())
