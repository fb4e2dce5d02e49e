"""The preview: with the reference's own pose and camera it gives the reference back."""

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest

from emosh_core.artifacts import Motion
from emosh_core.generate.generator import Camera, Reference
from emosh_core.generate.preview import Cameras, PreviewGenerator
from emosh_core.render.condition import render_condition
from emosh_core.settings import RenderConfig

PER_FRAME = [f.name for f in fields(Motion) if f.metadata.get("dims", ("",))[0] == "frame"]


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
    assert abs(np.nonzero(red)[1].mean() - (middle - 0.3 * reference.motion.K[0, 0, 0] / 2.6)) < 3


def test_a_zoom_enlarges_the_person_and_the_background_alike(still, body):
    reference, _ = still
    motion = reference.motion
    two = {name: np.repeat(getattr(motion, name), 2, 0) for name in PER_FRAME}
    target = replace(motion, **two)
    zoomed = motion.K * np.float32([[1.5, 1, 1], [1, 1.5, 1], [1, 1, 1]])
    cameras = Cameras(np.concatenate([motion.K, zoomed]), target.w2c)
    before, after = PreviewGenerator(target, reference, body, cameras=cameras).generate(
        np.arange(2), seed=0, state={}
    ).frames  # fmt: skip
    middle = motion.K[0, :2, 2]
    warp = np.array([[1.5, 0, -0.5 * middle[0] + 0.25], [0, 1.5, -0.5 * middle[1] + 0.25]])
    expected = cv2.warpAffine(before, warp, motion.size)
    # Outlines are sharper in a real zoom than in an enlarged picture.
    assert np.abs(after - expected).mean() < 0.01 < 0.03 < np.abs(after - before).mean()
    same = PreviewGenerator(target, reference, body, cameras=Cameras(motion.K, target.w2c))
    # Drawn in another box of pixels, so rounding may differ on an outline.
    assert np.abs(same.generate(np.array([0]), seed=0, state={}).frames[0] - before).mean() < 1e-4


def test_a_dolly_moves_the_background_less_than_the_person(still, body):
    reference, _ = still
    motion = reference.motion
    target = replace(motion, **{name: np.repeat(getattr(motion, name), 2, 0) for name in PER_FRAME})
    w2c = target.w2c.copy()
    w2c[1, 2, 3] -= 0.6  # towards the person, who is 2.6 m away; the wall is at 7.8 m
    generator = PreviewGenerator(target, reference, body, cameras=Cameras(motion.K, w2c))
    ramp = generator._background(1)[5, :, 0] - generator._background(0)[5, :, 0]
    slope = np.polyfit(np.arange(240), generator._background(0)[5, :, 0], 1)[0]
    grown = np.polyfit(np.arange(240), generator._background(1)[5, :, 0], 1)[0]
    assert abs(grown / slope - (1 - 0.6 / generator.surroundings.wall)) < 0.03 and np.abs(ramp).max() > 0.01
    first, second = (np.abs(f - generator._background(t)).sum(-1) > 0.05 for t, f in enumerate(
        generator.generate(np.arange(2), seed=0, state={}).frames))  # fmt: skip
    assert np.ptp(np.nonzero(second)[1]) > 1.2 * np.ptp(np.nonzero(first)[1])


def test_the_background_of_another_moment_stays_where_it_was(still, body):
    """The camera has turned, and the person gone, since the still was taken: the ramp's colours tell where to."""
    reference, _ = still
    motion = reference.motion
    turn, w2c = 0.05, motion.w2c.copy()
    w2c[0] = np.block([[cv2.Rodrigues(np.array([0.0, turn, 0]))[0], np.zeros((3, 1))], [np.zeros((1, 3)), 1]]) @ w2c[0]
    target = replace(motion, w2c=w2c, transl=motion.transl + np.float32([0.3, 0, 0]))
    known = replace(reference, camera=Camera(K=motion.K[0], w2c=motion.w2c[0]))
    seen, guessed = (PreviewGenerator(target, r, body)._background(0)[5, :, 0] for r in (known, reference))
    still_row = PreviewGenerator(motion, known, body)._background(0)[5, :, 0]
    moved = turn * motion.K[0, 0, 0]
    expected = np.interp(np.arange(240) - moved, np.arange(240), still_row)
    middle = np.s_[40:-40]
    assert np.abs(seen - expected)[middle].mean() < 0.004 < 0.01 < np.abs(guessed - expected)[middle].mean()


def test_a_known_place_is_measured_with_the_cameras_focal_length_and_not_kept_if_it_fills_too_little(still, body):
    reference, _ = still
    motion, longer = reference.motion, np.float32([[1.5, 1, 1], [1, 1.5, 1], [1, 1, 1]])
    walls = []
    for focal in (1, longer):
        known = replace(reference, camera=Camera(K=motion.K[0] * focal, w2c=motion.w2c[0]))
        generator = PreviewGenerator(motion, known, body)
        assert np.array_equal(generator.surroundings.K, known.camera.K)
        walls.append(generator.surroundings.wall)
    assert walls[1] == pytest.approx(1.5 * walls[0])  # the person, of known size, is as much farther away
    wide = np.float32([[2, 1, 1], [1, 2, 1], [1, 1, 1]])
    small = replace(reference, camera=Camera(K=motion.K[0] * wide, w2c=motion.w2c[0]))
    assert not np.allclose(PreviewGenerator(motion, small, body).surroundings.K, small.camera.K)


def test_a_still_that_shows_no_feet_gets_no_floor_from_the_drivers(still, body):
    reference, _ = still
    motion = reference.motion
    standing = PreviewGenerator(motion, reference, body).surroundings
    assert standing.floor == pytest.approx(motion.joints[0, [7, 8, 10, 11], 1].min(), abs=0.05)
    low = replace(motion, transl=motion.transl - np.float32([0, 1.2, 0]))
    assert PreviewGenerator(motion, replace(reference, motion=low), body).surroundings.floor is None
