"""Keypoints are drawn where they are, and only where they can be seen."""

import numpy as np
import pytest

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.render import keypoints
from emosh_core.render.keypoints import draw_keypoints, lines_of, visible_keypoints

COUNT = sum(KEYPOINTS.values())


@pytest.mark.parametrize("x", [20.5, 20.75, 21.0, 21.3])
def test_drawn_line_lies_within_a_quarter_pixel_of_its_points(x):
    """A vertical stroke: its brightness-weighted column is the x of both ends."""
    image = np.zeros((64, 64, 3), np.uint8)
    points, drawn = np.zeros((COUNT, 2)), np.zeros(COUNT, bool)
    thumb = keypoint_slice("left_hand").start + np.arange(2)
    points[thumb], drawn[thumb] = [(x, 10.0), (x, 50.0)], True
    draw_keypoints(image, points, drawn)
    row = image[30].sum(-1).astype(float)
    assert abs((row * (np.arange(64) + 0.5)).sum() / row.sum() - x) < 0.25


def test_line_needs_both_ends():
    image = np.zeros((64, 64, 3), np.uint8)
    points, drawn = np.full((COUNT, 2), 30.0), np.zeros(COUNT, bool)
    points[keypoint_slice("left_hand").start] = 10
    drawn[keypoint_slice("left_hand").start] = True
    draw_keypoints(image, points, drawn)
    assert not image.any()


def test_point_behind_the_surface_is_hidden_and_on_it_is_not():
    depth = np.full((40, 40), 2.0, np.float32)
    depth[:, 20:] = np.inf
    points, distance = np.full((COUNT, 2), 10.5), np.full(COUNT, 2.0)
    face = keypoint_slice("face").start
    points[face + 1], distance[face + 1] = 10.5, 2.1
    points[face + 2] = (30.5, 10.5)  # beside the mesh
    points[face + 3] = (-3, 10.5)  # off the picture
    visible = visible_keypoints(points, distance, depth)
    assert visible[[face, face + 1, face + 2, face + 3]].tolist() == [True, False, True, False]
    assert not visible[keypoint_slice("body")].any()


def test_chains_name_points_that_exist():
    for part, count in KEYPOINTS.items():
        assert all(0 <= i < count for chain, _ in lines_of(part) for i in chain)
    assert {len({c for _, c in lines}) for lines in (keypoints.FACE_LINES, keypoints.HAND_LINES)} == {9, 5}
