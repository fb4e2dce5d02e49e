"""The texture holds what the picture shows and something sensible elsewhere."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from emosh_core.body.pose import pose_from_motion
from emosh_core.geometry.camera import to_camera
from emosh_core.render.continuation import INSIDE
from emosh_core.render.texture import SIDE, fit_texture, mirrored_verts, see, texture_pixels


@pytest.fixture(scope="module")
def front(make_motion, body):
    """The body from the front, its left half red in the picture and its right half green."""
    motion = make_motion(1, size=(200, 300))
    image = np.zeros((300, 200, 3), np.uint8)
    image[:, 100:], image[:, :100] = (220, 40, 40), (40, 200, 40)
    verts = body.with_shape_of(motion.shape).with_pose(pose_from_motion(motion)).verts
    return motion, image, to_camera(verts, torch.as_tensor(motion.w2c))[0]


def texel_of(body, texture, verts):
    rows = np.isin(body.faces.numpy(), verts)
    places = texture_pixels(body)[body.face_uv.numpy()[rows]]
    column, row = np.clip(places, 0, SIDE - 1).astype(int).T
    return texture[row, column]


def test_seen_texels_have_the_colour_of_the_picture_and_hidden_ones_are_not_black(front, body):
    motion, image, verts = front
    texture = fit_texture(see(image, None, verts, body, motion.K[0]), body)
    assert texture.shape == (SIDE, SIDE, 3) and np.isfinite(texture).all()
    t_pose = body.template.numpy()
    chest = np.nonzero(
        (np.abs(t_pose[:, 0] - 0.08) < 0.02) & (np.abs(t_pose[:, 1] - 0.25) < 0.05) & (t_pose[:, 2] > 0.05)
    )[0]
    back = np.nonzero(
        (np.abs(t_pose[:, 0] - 0.08) < 0.02) & (np.abs(t_pose[:, 1] - 0.25) < 0.05) & (t_pose[:, 2] < -0.02)
    )[0]
    assert len(chest) and len(back)
    np.testing.assert_allclose(np.median(texel_of(body, texture, chest), 0), [220, 40, 40], atol=6)
    assert texel_of(body, texture, back).mean(1).min() > 50


def test_half_that_the_picture_hides_is_mirrored(front, body):
    motion, image, verts = front
    mask = np.zeros(image.shape[:2], bool)
    mask[:, 100:] = True  # only the left half of the body is the person's
    texture = fit_texture(see(image, mask, verts, body, motion.K[0]), body)
    t_pose = body.template.numpy()
    right = np.nonzero(
        (np.abs(t_pose[:, 0] + 0.08) < 0.02) & (np.abs(t_pose[:, 1] - 0.25) < 0.05) & (t_pose[:, 2] > 0.05)
    )[0]
    np.testing.assert_allclose(np.median(texel_of(body, texture, right), 0), [220, 40, 40], atol=6)


def test_mirror_swaps_left_and_right(body):
    mirror, verts = mirrored_verts(body), body.template.numpy()
    assert np.linalg.norm(verts[mirror] * [-1, 1, 1] - verts, axis=1).max() < 0.006


def test_person_of_one_colour_is_of_that_colour_everywhere(front, body):
    motion, image, verts = front
    texture = fit_texture(see(np.full_like(image, 200), None, verts, body, motion.K[0]), body)
    outside = ~np.isin(body.face_part.numpy(), [body.part_names.index(name) for name in INSIDE])
    found = texel_of(body, texture, np.setdiff1d(body.faces[outside], body.faces[~outside]))
    assert (np.abs(found - 200) < 2).all(1).mean() > 0.995  # the rims of the patches are next to the mouth's


def test_shadow_of_what_hides_a_surface_ends_softly(front, body):
    motion, image, verts = front
    depth = np.full((40, 40), 1.3, np.float32)
    depth[:, :20] = 1.0  # a near half hides the far one
    sight = replace(see(image, None, verts, body, motion.K[0]), depth=depth)
    column, row = np.arange(40), np.full(40, 20)
    share = sight._unhidden(np.full(40, 1.3), row, column)
    assert (share[:16] == 0).all() and (share[24:] == 1).all() and (np.diff(share) >= 0).all()
    assert ((share > 0.2) & (share < 0.8)).sum() >= 3
    assert (sight._unhidden(np.full(40, 1.0), row, column) == 1).all()


def test_a_small_picture_is_trusted_up_to_a_pixel_from_the_outline(front, body):
    motion, image, verts = front
    sight = see(image, None, verts, body, motion.K[0])
    inside = np.isfinite(sight.depth) & (sight.inner > 0)
    outline = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    assert sight.inner[(outline > 1.5) & (outline < 2.5)].min() > 0.75
