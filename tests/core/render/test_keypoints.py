"""Keypoints are drawn where they are, and only where they can be seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from emosh_kernels.strokes import draw_strokes

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.render import keypoints
from emosh_core.render.keypoints import keypoint_strokes, lines_of, trusted_keypoints, visible_keypoints

COUNT = sum(KEYPOINTS.values())
THUMB = keypoint_slice("left_hand").start + np.arange(2)


def drawn(points, trusted, visible=None, size=(64, 64), focal=100.0):
    """One frame of keypoints 1 m away, on black; (H, W)."""
    points, trusted = torch.as_tensor(points, dtype=torch.float32)[None], torch.as_tensor(trusted)[None]
    visible = trusted if visible is None else torch.as_tensor(visible)[None]
    lines = keypoint_strokes(points, torch.ones(1, COUNT), trusted, visible, torch.tensor([focal]))
    return draw_strokes(torch.zeros(1, *size, 3), lines)[0].sum(-1).numpy()


@pytest.mark.parametrize("x", [20.5, 20.75, 21.0, 21.3])
def test_drawn_line_lies_within_a_quarter_pixel_of_its_points(x):
    """A vertical stroke: its brightness-weighted column is the x of both ends."""
    points, on = np.zeros((COUNT, 2)), np.zeros(COUNT, bool)
    points[THUMB], on[THUMB] = [(x, 10.0), (x, 50.0)], True
    row = drawn(points, on)[30]
    assert abs((row * (np.arange(64) + 0.5)).sum() / row.sum() - x) < 0.25


def test_line_needs_both_ends_trusted_and_one_seen():
    points, on = np.full((COUNT, 2), 30.0), np.zeros(COUNT, bool)
    points[THUMB] = [(10, 30), (50, 30)]
    on[THUMB[0]] = True
    assert not drawn(points, on).any()
    on[THUMB] = True
    assert drawn(points, on).any()
    seen = on.copy()
    seen[THUMB[1]] = False
    assert drawn(points, on, seen).any()
    seen[THUMB[0]] = False
    assert not drawn(points, on, seen).any()


def test_lines_grow_with_the_picture():
    points, on = np.zeros((COUNT, 2)), np.zeros(COUNT, bool)
    points[THUMB], on[THUMB] = [(32, -50.0), (32, 150.0)], True
    thin, thick = (drawn(points, on, focal=focal)[30].sum() for focal in (1000.0, 2000.0))
    assert thick == pytest.approx(2 * thin, rel=0.05)


def test_visibility_needs_the_picture_the_front_and_no_mesh_in_between():
    depth = torch.full((1, 8, 8), 2.0)
    points, distance = torch.full((1, COUNT, 2), 4.0), torch.full((1, COUNT), 2.0)
    face = keypoint_slice("face").start
    distance[0, face + 1] = 2.0 + keypoints.DEPTH_TOLERANCE["face"] * 0.9
    distance[0, face + 2] = 2.0 + keypoints.DEPTH_TOLERANCE["face"] * 1.1
    points[0, face + 3] = torch.tensor([-0.5, 4.0])
    distance[0, face + 4] = -1.0
    visible = visible_keypoints(points, distance, depth)[0]
    assert visible[face : face + 5].tolist() == [True, True, False, False, False]
    assert not visible[keypoint_slice("body")].any()


def test_only_tracked_parts_are_trusted(make_motion):
    trusted = trusted_keypoints(replace(make_motion(3), face_valid=np.array([True, False, True])))
    assert trusted[:, keypoint_slice("face")].all(1).tolist() == [True, False, True]
    assert trusted[:, keypoint_slice("right_hand")].all() and not trusted[:, keypoint_slice("body")].any()


def test_chains_name_points_that_exist():
    for part, count in KEYPOINTS.items():
        assert all(0 <= i < count for chain, _ in lines_of(part) for i in chain)
