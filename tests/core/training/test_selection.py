"""The dataset filter: each planted fault is named, nothing else is, and a fault never makes a clip better."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emosh_core.artifacts import keypoint_slice
from emosh_core.settings import FilterConfig
from emosh_core.training.selection import REASONS, count, judge

FRAMES = 20


@pytest.fixture(scope="module")
def good(make_motion):
    """A clip that has everything: a face of 40 px in 320×400, hands, motion."""
    motion = make_motion(FRAMES)
    joints = motion.joints + np.linspace(0, 0.5, FRAMES, dtype=np.float32)[:, None, None]
    points = motion.keypoints2d.copy()
    points[:, keypoint_slice("face"), 1] = np.linspace(100, 140, 478, dtype=np.float32)
    return replace(motion, joints=joints, keypoints2d=points)


def hide_face(motion, frames):
    return replace(motion, face_valid=motion.face_valid & (np.arange(FRAMES) >= frames))


def shrink_face(motion, factor):
    points = motion.keypoints2d.copy()
    points[:, keypoint_slice("face")] *= factor
    return replace(motion, keypoints2d=points)


def hide_hands(motion, frames):
    shown = np.arange(FRAMES) >= frames
    return replace(motion, left_hand_valid=motion.left_hand_valid & shown,
                   right_hand_valid=motion.right_hand_valid & shown)  # fmt: skip


def slow_down(motion, factor):
    return replace(motion, joints=motion.joints[:1] + (motion.joints - motion.joints[:1]) * np.float32(factor))


FAULTS = {
    "face not detected": lambda m: hide_face(m, 11), "face too small": lambda m: shrink_face(m, 0.4),
    "hands hidden": lambda m: hide_hands(m, 11), "static": lambda m: slow_down(m, 0.001),
}  # fmt: skip


def test_a_good_clip_is_kept_and_measured(good):
    verdict = judge(good)
    assert verdict.reasons == () and verdict.face == verdict.hands == 1
    assert verdict.face_size == pytest.approx(40 / 320)
    assert verdict.speed == pytest.approx(0.5 * 3**0.5 * 30 / (FRAMES - 1), rel=1e-3)


@pytest.mark.parametrize("reason", REASONS)
def test_each_fault_is_named_alone(good, reason):
    assert judge(FAULTS[reason](good)).reasons == (reason,)


def test_hands_may_be_seen_in_turn_and_a_talking_head_is_not_static(good):
    half = np.arange(FRAMES) < FRAMES // 2
    assert judge(replace(good, left_hand_valid=half, right_hand_valid=~half)).reasons == ()
    talking = np.zeros((FRAMES, 52), np.float32)
    talking[::2, 24] = 0.4
    assert judge(replace(slow_down(good, 0), expression=talking)).reasons == ()


def test_limits_can_be_changed_and_a_single_frame_is_static(good, make_motion):
    assert judge(FAULTS["hands hidden"](good), FilterConfig(hands=0)).reasons == ()
    assert "static" in judge(make_motion(1)).reasons


@settings(max_examples=30, deadline=None)
@given(hidden=st.integers(0, FRAMES), more=st.integers(0, FRAMES), factor=st.floats(0, 1), slower=st.floats(0, 1))
def test_more_of_a_fault_never_brings_a_clip_back(good, hidden, more, factor, slower):
    faults = ((hide_hands, hidden, max(hidden, more)), (hide_face, hidden, max(hidden, more)),
              (slow_down, factor, factor * slower), (shrink_face, factor, factor * slower))  # fmt: skip
    for fault, less, worse in faults:
        assert bool(judge(fault(good, less)).reasons) <= bool(judge(fault(good, worse)).reasons)


def test_counts_add_up(good):
    clips = [good, *(fault(good) for fault in FAULTS.values()), hide_hands(hide_face(good, 11), 11)]
    expected = {"face not detected": 2, "face too small": 1, "hands hidden": 2, "static": 1}
    assert count(judge(clip) for clip in clips) == {"clips": 6, "kept": 1} | expected
