"""Following: worked by hand."""

import numpy as np
import pytest

from emosh_core.metrics.following import course_following, drift, joint_errors


def test_joint_errors_are_shares_of_each_frames_height():
    truth = np.zeros((2, 2, 2))
    points = truth + np.array([3, 4])
    asked = np.array([[True, False], [True, True]])
    both = np.array([True, True])
    assert joint_errors(points, truth, asked, both, np.array([50, 100])) == pytest.approx([0.1, 0.05, 0.05])


def test_a_frame_without_a_person_counts_as_the_whole_height():
    truth, asked = np.zeros((2, 1, 2)), np.ones((2, 1), bool)
    assert joint_errors(truth, truth, asked, np.array([True, False]), np.full(2, 80)).tolist() == [0, 1]


def test_a_course_follows_whatever_its_scale_and_offset():
    truth = np.sin(np.arange(30) / 3)
    always = np.ones(30, bool)
    assert course_following(5 + 0.1 * truth, truth, always) == pytest.approx(1)
    assert course_following(-truth, truth, always) == pytest.approx(-1)


def test_frames_that_cannot_be_measured_lower_the_following():
    truth = np.sin(np.arange(30) / 3)
    found = np.arange(30) % 3 > 0
    garbage = np.where(found, truth, 1e6)
    value = course_following(garbage, truth, found)
    assert 0.5 < value < 0.95
    filled = np.where(found, truth, truth[found].mean())
    assert value == pytest.approx(np.corrcoef(filled, truth)[0, 1])


def test_what_never_moves_or_is_never_found_follows_nothing():
    truth = np.sin(np.arange(30) / 3)
    assert course_following(np.ones(30), truth, np.ones(30, bool)) == 0
    assert course_following(truth, truth, np.zeros(30, bool)) == 0


def test_drift_is_from_the_first_chunk_to_the_last():
    quality = np.array([30.0, 28, 29, 29, 27, 25])
    assert drift(quality, [slice(0, 2), slice(2, 4), slice(4, 6)]) == pytest.approx(3)
    assert drift(quality[::-1], [slice(0, 2), slice(2, 4), slice(4, 6)]) == pytest.approx(-3)
