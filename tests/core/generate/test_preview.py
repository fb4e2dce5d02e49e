"""The preview: with the reference's own pose and camera it gives the reference back."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from emosh_core.generate.generator import Reference
from emosh_core.generate.preview import PreviewGenerator
from emosh_core.render.condition import render_condition
from emosh_core.settings import RenderConfig


@pytest.fixture(scope="module")
def still(make_motion, body):
    """A "photo": the body in canonical colours with soft stripes, over a ramp."""
    motion = make_motion(1, size=(240, 320), transl=[[0, 0.05, -2.6]])
    cond = render_condition(motion, body, RenderConfig(layers="mesh"))
    image = np.full((320, 240, 3), (90, 110, 140), np.uint8)
    image[..., 0] += np.linspace(0, 80, 240, dtype=np.uint8)
    image[cond.mask[0]] = cond.frames[0][cond.mask[0]]
    stripes = (25 * np.sin(np.arange(320) / 6))[:, None, None] * cond.mask[0][..., None]
    return Reference(image=np.clip(image + stripes, 0, 255).astype(np.uint8), motion=motion), cond.mask[0]


def psnr(a, b):
    return -10 * np.log10(((a - b) ** 2).mean())


def test_reference_pose_reproduces_the_person(still, body):
    reference, mask = still
    generator = PreviewGenerator(reference.motion, reference, body)
    frame = generator.generate(np.array([0]), seed=0, state={}).frames[0]
    inside = cv2.erode(mask.astype(np.uint8), np.ones((7, 7))) > 0
    assert psnr(frame[inside], reference.image[inside] / 255) > 28
    outside = cv2.dilate(mask.astype(np.uint8), np.ones((31, 31))) == 0
    assert psnr(frame[outside], reference.image[outside] / 255) > 30


def test_seen_from_behind_nobody_is_black_and_frames_are_what_the_protocol_says(still, make_motion, body):
    reference, _ = still
    turned = make_motion(20, size=(160, 120), transl=[[0, 0.05, -2.6]] * 20, global_orient=[[0, np.pi, 0]] * 20)
    generator = PreviewGenerator(turned, reference, body, size=(121, 97))
    chunk = generator.generate(np.array([3, 19, 18]), seed=1, state={})
    assert chunk.frames.shape == (3, 97, 121, 3) and chunk.frames.dtype == np.float32
    assert chunk.state == {} and chunk.latents.size == 0
    assert chunk.frames.min() > 0.08 and chunk.frames.max() <= 1
    again = PreviewGenerator(turned, reference, body, size=(121, 97)).generate(np.array([19]), seed=1, state={})
    assert np.array_equal(chunk.frames[1], again.frames[0])


def test_person_outside_the_mesh_comes_along(still, body):
    """A red block stuck to the head, in the mask: it moves with the person to the left."""
    reference, mask = still
    image, person = reference.image.copy(), mask.copy()
    top = np.nonzero(mask.any(1))[0][0]
    middle = int(np.nonzero(mask[top + 3])[0].mean())
    block = np.s_[top - 14 : top + 2, middle - 8 : middle + 8]
    image[block], person[block] = (250, 0, 0), True
    hairy = Reference(image=image, motion=reference.motion, mask=person)
    shifted = replace(reference.motion, transl=reference.motion.transl - np.float32([0.3, 0, 0]))
    moved = PreviewGenerator(shifted, hairy, body).generate(np.array([0]), seed=0, state={}).frames[0]
    red = (moved[..., 0] > 0.85) & (moved[..., 1] < 0.2)
    assert 0.5 * 16 * 14 < red.sum() < 1.5 * 16 * 14
    assert abs(np.nonzero(red)[1].mean() - (middle - 0.3 * reference.motion.K[0, 0] / 2.6)) < 3
