"""Retargeting swaps the shape, keeps everything else, and keeps the face in its image row."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emosh_core.body.pose import pose_from_motion
from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.geometry.camera import project, to_camera
from emosh_core.retarget import RetargetConfig, retarget


def eye_rows(motion, body):
    joints = body.for_landmarks().with_shape_of(motion.shape).with_pose(pose_from_motion(motion)).joints
    eyes = joints[:, 23:25].mean(1, keepdim=True)
    return project(to_camera(eyes, torch.from_numpy(motion.w2c)), torch.from_numpy(motion.K))[:, 0, 1].numpy()


@given(beta=st.floats(-2.5, 2.5), other=st.floats(-2.5, 2.5))
@settings(max_examples=10, deadline=None)
def test_the_face_keeps_its_row_for_any_pair_of_builds(body, make_motion, make_shape, beta, other):
    driver = make_motion(shape=make_shape([beta]))
    target = retarget(driver, make_motion(1, shape=make_shape([other, other])), body, RetargetConfig())
    np.testing.assert_allclose(eye_rows(target, body), eye_rows(driver, body), atol=0.1)


def test_only_the_shape_and_the_place_change(body, make_motion, make_shape):
    driver, reference = make_motion(), make_motion(1, shape=make_shape([2.0], [1.0]))
    target = retarget(driver, reference, body, RetargetConfig())
    for name in ("body_pose", "global_orient", "expression", "left_hand_pose", "K", "w2c", "time"):
        np.testing.assert_array_equal(getattr(target, name), getattr(driver, name))
    assert target.shape is reference.shape
    np.testing.assert_allclose(target.transl[:, [0, 2]], driver.transl[:, [0, 2]], atol=1e-6)
    np.testing.assert_allclose(target.joints[:, 0, 1], driver.joints[:, 0, 1] + target.vertical_offset, atol=1e-5)
    # The stored joints are those that the parameters give.
    posed = body.for_landmarks().with_shape_of(target.shape).with_pose(pose_from_motion(target))
    np.testing.assert_allclose(posed.joints.numpy(), target.joints, atol=1e-5)


def test_own_shape_changes_nothing(body, make_motion):
    driver = make_motion()
    target = retarget(driver, driver, body, RetargetConfig())
    assert abs(target.vertical_offset) < 1e-6
    np.testing.assert_allclose(target.joints, driver.joints, atol=1e-6)


def test_without_an_anchor_the_pelvis_stays(body, make_motion, make_shape):
    target = retarget(make_motion(), make_motion(1, shape=make_shape([2.0])), body, RetargetConfig(anchor="none"))
    assert target.vertical_offset == 0
    np.testing.assert_allclose(target.joints[:, 0], make_motion().joints[:, 0], atol=1e-6)


def test_frames_without_a_person_do_not_move_the_offset(body, make_motion, make_shape):
    driver, reference = make_motion(5), make_motion(1, shape=make_shape([2.0]))
    want = retarget(driver, reference, body, RetargetConfig()).vertical_offset
    transl, valid = driver.transl.copy(), driver.person_valid.copy()
    transl[2:] += [0, 3, 1.5]
    valid[2:] = False
    spoiled = replace(driver, transl=transl, person_valid=valid)
    assert retarget(spoiled, reference, body, RetargetConfig()).vertical_offset == pytest.approx(want, abs=1e-4)


def test_different_body_models_are_refused(body, make_motion):
    with pytest.raises(ArtifactError, match="different body models"):
        retarget(make_motion(), replace(make_motion(1), body_model="smplx"), body, RetargetConfig())


@given(beta=st.floats(-2.5, 2.5), seed=st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_the_path_is_as_long_as_the_legs_say(body, make_motion, make_shape, beta, seed):
    path = np.random.default_rng(seed).normal([0, 0, -3], 0.2, (5, 3))
    driver, reference = make_motion(5, shape=make_shape([0.3]), transl=path), make_motion(1, shape=make_shape([beta]))
    target = retarget(driver, reference, body, RetargetConfig(contacts="off"))
    rest = [body.with_shape_of(m.shape).rest_joints.numpy() for m in (driver, reference)]
    legs = [sum(np.linalg.norm(j[a] - j[b]) for a, b in ((1, 4), (4, 7), (2, 5), (5, 8))) for j in rest]
    moved = [np.diff(m.joints[:, 0], axis=0) for m in (driver, target)]
    np.testing.assert_allclose(moved[1], legs[1] / legs[0] * moved[0], atol=1e-5)
    unscaled = retarget(driver, reference, body, RetargetConfig(contacts="off", root="driver"))
    np.testing.assert_allclose(np.diff(unscaled.joints[:, 0], axis=0), moved[0], atol=1e-5)


@given(beta=st.floats(-2.5, 2.5), seed=st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_a_moving_face_keeps_the_median_of_its_rows(body, make_motion, make_shape, beta, seed):
    """The offset solves each frame for its own row and takes the median: half of the frames end above, half below."""
    path = np.random.default_rng(seed).normal([0, 0, -3], 0.15, (7, 3))
    driver = make_motion(7, transl=path)
    target = retarget(driver, make_motion(1, shape=make_shape([beta])), body, RetargetConfig())
    below = eye_rows(target, body) - eye_rows(driver, body)
    assert (below > -0.05).sum() >= 4 and (below < 0.05).sum() >= 4


@pytest.mark.parametrize("key", ["anchor", "root", "contacts"])
def test_unknown_choices_are_refused(key):
    with pytest.raises(ConfigError, match=f"retarget.{key} is unknown"):
        RetargetConfig(**{key: "perhaps"})
