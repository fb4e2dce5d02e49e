"""The dressed body has the outline of the person, and the rest of it follows smoothly."""

import cv2
import numpy as np
import pytest
import torch
from emosh_kernels.rasterize import rasterize

from emosh_core.render.dress import THICKEST, _laplacian, dress
from emosh_core.render.view import views


def outline(motion, body, shaped):
    view = next(views(motion, body, shaped=shaped))
    fragments = rasterize(view.verts_cam, body.faces, torch.as_tensor(motion.K), motion.size[::-1])
    return view, fragments.face_id[0].numpy() >= 0


@pytest.fixture(scope="module")
def bare(make_motion, body):
    pose = np.zeros((1, 21, 3), np.float32)
    pose[0, [15, 16], 2] = [-0.7, 0.7]  # arms away from the trunk
    motion = make_motion(1, size=(400, 500), transl=[[0, 0.1, -2.6]], body_pose=pose)
    shaped = body.with_shape_of(motion.shape)
    return motion, shaped, *outline(motion, body, shaped)


def test_clothes_two_centimetres_thick_are_found(bare, body):
    motion, shaped, view, covered = bare
    wide = cv2.dilate(covered.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))) > 0
    dressed = dress(shaped, motion, view, wide)
    _, now = outline(motion, body, dressed)
    overlap = lambda a, b: (a & b).sum() / (a | b).sum()  # noqa: E731
    limbs = np.s_[150:420, 60:340]  # hands and face wear nothing
    assert overlap(now[limbs], wide[limbs]) > 0.95 > 0.9 > overlap(covered[limbs], wide[limbs])
    moved = (dressed.rest_verts - shaped.rest_verts).norm(dim=1)
    assert float(moved.max()) <= THICKEST + 1e-6
    hands = body.faces[body.face_part == body.part_names.index("hand.L")].unique()
    assert float(moved[hands].median()) < 1e-3


def test_a_body_that_fits_keeps_its_shape(bare):
    motion, shaped, view, covered = bare
    same = dress(shaped, motion, view, covered)
    assert float((same.rest_verts - shaped.rest_verts).norm(dim=1).quantile(0.99)) < 0.004


def test_a_skirt_is_left_to_the_fringe(bare):
    """What stands off farther than THICKEST says nothing about the thickness of clothes."""
    motion, shaped, view, covered = bare
    mask = covered.copy()
    mask[260:330, :] = True
    moved = (dress(shaped, motion, view, mask).rest_verts - shaped.rest_verts).norm(dim=1)
    assert float(moved.max()) < THICKEST


def test_laplacian_of_a_linear_function_on_a_regular_patch_vanishes_inside():
    x, y = np.meshgrid(np.arange(5), np.arange(5))
    corner = (np.arange(4)[:, None] * 5 + np.arange(4)).ravel()
    faces = np.concatenate([corner[:, None] + [0, 1, 6], corner[:, None] + [0, 6, 5]])
    values = _laplacian(faces, 25) @ (2.0 * x + 3 * y).ravel()
    assert np.abs(values.reshape(5, 5)[1:-1, 1:-1]).max() < 1e-12 and np.abs(values).max() > 0.1
