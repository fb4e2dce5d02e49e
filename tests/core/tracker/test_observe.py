"""What is made of detections: contacts, eyelids, intrinsics, where marks lie, what people usually are."""

from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image

from emosh_core.artifacts import keypoint_slice
from emosh_core.body.pose import zero_pose
from emosh_core.image_io import write_image
from emosh_core.tracker import marks
from emosh_core.tracker.contacts import hands_touch, planted
from emosh_core.tracker.detect import nobody
from emosh_core.tracker.eyelids import LIDS, open_as, openness
from emosh_core.tracker.intrinsics import find_intrinsics
from emosh_core.tracker.population import population_of, stature
from emosh_core.tracker.sides import PARTNER
from emosh_core.video_io import VideoWriter, open_source

FPS, FRAMES, HEIGHT = 30.0, 60, 400.0
TIME = np.arange(FRAMES) / FPS


def steps():
    """A left heel that rests, steps 80 px ahead in a third of a second, rests again; the rest runs all the time."""
    seen = nobody(FRAMES)
    seen.confidence[:] = 1
    seen.keypoints2d[:, 30:33, 0] = 12.0 * np.arange(FRAMES)[:, None]
    seen.keypoints2d[:, 31, 0] = 12.0 * np.arange(FRAMES)
    seen.keypoints2d[:, 29, 0] = 80 * np.clip((np.arange(FRAMES) - 25) / 10, 0, 1)
    seen.keypoints2d[:, 29] += np.random.default_rng(0).normal(0, 0.3, (FRAMES, 2))
    return seen


def test_a_foot_is_planted_while_it_rests():
    flags = planted(steps(), FPS, TIME, HEIGHT)
    assert flags[2:22, 0].all() and flags[39:58, 0].all() and not flags[27:34, 0].any()
    assert not flags[:, 1:].any()
    unsure = steps()
    unsure.confidence[:, 29] = 0.2
    assert not planted(unsure, FPS, TIME, HEIGHT).any() and planted(nobody(1), FPS, TIME[:1], HEIGHT).shape == (1, 4)


def test_hands_touch_when_they_meet_in_the_picture_and_in_depth():
    seen, rng = nobody(FRAMES), np.random.default_rng(1)
    left, right = keypoint_slice("left_hand"), keypoint_slice("right_hand")
    seen.keypoints2d[:, left] = rng.uniform(0, 60, (21, 2))
    seen.keypoints2d[:, right] = seen.keypoints2d[:, left]
    seen.keypoints2d[:, right, 0] += 65 + np.abs(np.arange(FRAMES) - 30)[:, None] * 6.0 - 60  # meet at frame 30
    there = np.ones(FRAMES, bool)
    touch, which = hands_touch(seen, there, there, TIME)
    assert touch[30] and not touch[:15].any() and not touch[46:].any()
    a, b = which[30]
    gap = np.linalg.norm(seen.keypoints2d[30, left][:, None] - seen.keypoints2d[30, right][None], axis=-1)
    assert gap[a, b] == gap.min()
    seen.body3d[:, 15, 2] = 0.3  # one hand far in front of the other
    assert not hands_touch(seen, there, there, TIME)[0].any()
    seen.body3d[:] = 0
    assert not hands_touch(seen, ~there, there, TIME)[0].any()


def test_eyelids_are_measured_by_the_persons_own_open_eyes(body):
    rest = body.with_shape(torch.zeros(32), torch.zeros(64)).with_pose(zero_pose(1)).landmarks("face")[0].numpy()
    usual = {side: float(openness(rest[None], side)[0]) for side in LIDS}
    points = np.repeat(rest[None, :, :2] * 1000, 40, 0)
    narrow = points.copy()
    for lids, corners, _ in LIDS.values():
        line = points[:, corners].mean(1)[:, None, 1]
        share = np.full(40, 0.7)
        share[20:25] = 0.1  # a blink
        narrow[:, list(lids), 1] = line + (points[:, list(lids), 1] - line) * share[:, None]
    opened = open_as(narrow, np.ones(40, bool), usual)
    for side in LIDS:
        values = openness(opened, side)
        # Corners and lid line are not quite parallel to x, hence the tolerance.
        assert values[0] == pytest.approx(usual[side], rel=0.05) and values[22] < 0.3 * usual[side]
    np.testing.assert_array_equal(open_as(narrow[:5], np.ones(5, bool), usual), narrow[:5])  # too few to know


def test_where_the_focal_length_comes_from(tmp_path):
    still = tmp_path / "still.jpg"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 50
    Image.fromarray(np.zeros((300, 400, 3), np.uint8)).save(still, exif=exif)
    K, how = find_intrinsics(open_source(still))
    assert float(K[0, 0]) == pytest.approx(500 / 43.27 * 50, rel=1e-3) and "50 mm equivalent" in how
    K, how = find_intrinsics(open_source(still), 777.0)
    assert float(K[0, 0]) == 777 and "as given" in how
    silent = tmp_path / "silent.png"
    write_image(silent, np.zeros((300, 400, 3), np.uint8))
    K, how = find_intrinsics(open_source(silent))
    assert float(K[0, 0]) == 500 and "assumed" in how and "--focal" in how
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, 30, (64, 48)) as video:
        video.write(np.zeros((48, 64, 3), np.uint8))
    assert "assumed" in find_intrinsics(open_source(clip))[1]


def test_marks_are_mirrored_and_move_with_their_bone(body):
    shift = marks.offsets()
    assert torch.equal(shift[PARTNER], shift * torch.tensor([-1.0, 1.0, 1.0]))
    assert 0.005 < float(marks.body_sigma().min()) and float(marks.body_sigma().max()) < 0.03
    pose = zero_pose(2)
    pose.body_pose[1, 15, 2] = 1.0  # the left shoulder: its elbow's mark turns with the arm
    posed = body.for_landmarks().with_shape(torch.zeros(32), torch.zeros(64)).with_pose(pose)
    moved = marks.on_body(posed) - posed.landmarks()
    assert torch.allclose(moved[0, :33], shift, atol=1e-6) and not moved[:, 33:].any()
    turned = (moved[1, 13] - moved[0, 13]).norm()
    assert float(turned) == pytest.approx(2 * np.sin(0.5) * float(shift[13, :2].norm()), rel=1e-3)


def test_the_population_is_adults_and_a_height_moves_what_goes_with_it(body):
    people = population_of(body)
    usual = float(stature(body, people.mean))
    assert 1.65 < usual < 1.78 and people.distance(people.mean) == 0
    tall = people.as_tall_as(1.95, body)
    assert float(stature(body, tall.mean)) == pytest.approx(1.95, abs=0.012)
    assert people.distance(tall.mean) < 6  # the likeliest of the tall, not just anybody
    legs = lambda betas: float(body.with_shape(*betas.split([32, 64])).rest_joints[[1, 7], 1].diff().abs())  # noqa: E731
    assert legs(tall.mean) > legs(people.mean) + 0.08
    wanted = np.load(files("emosh_core") / "assets" / "population.npz")
    from emosh_core.synth.people import load_people

    table = load_people()
    train = table.split == "train"
    np.testing.assert_allclose(wanted["mean"][:32], table.betas_body[train].mean(0), atol=1e-3)
