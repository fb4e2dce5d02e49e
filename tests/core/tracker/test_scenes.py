"""The tracker on what films are like: others in the picture, cuts, people who leave, sizes, rates, views.

Real footage, put together so that the right answer is known; synthetic people where none is at hand.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest

from emosh_core.artifacts import keypoint_slice
from emosh_core.errors import ArtifactError
from emosh_core.image_io import write_image
from emosh_core.settings import SynthConfig, TrackConfig
from emosh_core.tracker.survey import find_cuts, survey
from emosh_core.tracker.track import track
from emosh_core.video_io import VideoWriter, open_source

INPUTS = Path(__file__).parents[3] / "workspace_template" / "inputs"
QUICK = {"rounds": 6, "shape_rounds": 4}
BODY = keypoint_slice("body")


def frames_of(name: str, count: int, every: int = 1) -> list[np.ndarray]:
    found = []
    for t, (_, frame) in enumerate(open_source(INPUTS / "driving" / name).frames()):
        if t % every == 0:
            found.append(frame)
        if len(found) == count:
            break
    return found


@pytest.fixture(scope="module")
def jumper() -> list[np.ndarray]:
    """Somebody's jumping jacks, 510×480 px or so, the whole body in view."""
    return frames_of("demo_fullbody_jumping_jack.mp4", 36, every=2)


@pytest.fixture(scope="module")
def face() -> list[np.ndarray]:
    return frames_of("demo_head_single_face.mp4", 24)


@pytest.fixture
def film(tmp_path):
    """Write frames as a film."""

    def make(frames, fps=30.0, name="clip.mp4") -> Path:
        path = tmp_path / name
        height, width = frames[0].shape[0] // 2 * 2, frames[0].shape[1] // 2 * 2
        with VideoWriter(path, fps, (width, height)) as writer:
            for frame in frames:
                writer.write(np.ascontiguousarray(frame[:height, :width]))
        return path

    return make


def follow(path, body, **settings):
    notes: list[str] = []
    return track(path, body, TrackConfig(**(QUICK | settings)), note=notes.append), notes


def where(motion) -> np.ndarray:
    """Return the middle of the detected body (T, 2) [px]; NaN where nobody is."""
    middle = np.median(motion.keypoints2d[:, BODY], 1)
    return np.where(motion.person_valid[:, None], middle, np.nan)


def check(motion, frames: int) -> None:
    """Every frame has an answer, and no number is none."""
    assert len(motion.time) == frames and motion.trust.shape == (frames, 8)
    for name in ("joints", "body_pose", "left_hand_pose", "expression", "transl", "trust", "eye_pose"):
        assert np.isfinite(getattr(motion, name)).all(), name
    assert (motion.trust >= 0).all() and (motion.trust <= 1).all()


@pytest.fixture(scope="module")
def two(jumper):
    """The jumper large on the left, smaller and mirrored on the right."""
    frames = []
    for one, other in zip(jumper, jumper[::-1], strict=True):
        canvas = np.full((one.shape[0], one.shape[1] * 2, 3), 200, np.uint8)
        small = cv2.resize(other[:, ::-1], None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        canvas[:, : one.shape[1]] = one
        canvas[-small.shape[0] :, -small.shape[1] :] = small
        frames.append(canvas)
    return frames


@pytest.mark.parametrize(("who", "right"), [("largest", False), ("1", False), ("2", True), ("PLACE", True)])
def test_the_person_who_was_asked_for_is_followed(two, film, body, who, right):
    width, height = two[0].shape[1], two[0].shape[0]
    who = f"{width * 0.8:.0f},{height * 0.6:.0f}" if who == "PLACE" else who
    motion, notes = follow(film(two), body, person=who)
    check(motion, len(two))
    side = where(motion)[:, 0] > width / 2
    assert motion.person_valid.mean() > 0.9 and abs(side[motion.person_valid].mean() - right) < 0.1
    assert any("2 people at once" in text for text in notes)
    assert any("focal length assumed" in text for text in notes)
    assert np.nanmedian(motion.reprojection_error) < 0.02 * height


def test_a_person_who_is_not_there_cannot_be_followed(two, film, body):
    with pytest.raises(ArtifactError, match="no person 5") as caught:
        follow(film(two), body, person="5")
    assert "at most 2" in caught.value.found and "--person 1 to 2" in caught.value.fix


def test_nothing_reaches_across_a_cut(jumper, face, film, body):
    first = [cv2.resize(f, (640, 360)) for f in face[:12]]
    height = 360
    second = [np.full((height, 640, 3), 180, np.uint8) for _ in range(14)]
    for canvas, frame in zip(second, jumper, strict=False):
        small = cv2.resize(frame, (int(frame.shape[1] * height / frame.shape[0]), height))
        canvas[:, 60 : 60 + small.shape[1]] = small
    motion, notes = follow(film(first + second), body)
    check(motion, 26)
    assert any("1 cuts: new shots begin at frames 12" in text for text in notes)
    # From a head that fills the picture to a whole body: the place jumps in one frame and rests around it.
    far = -motion.transl[:, 2]
    assert far[12] > 1.5 * far[11] and abs(far[11] - far[9]) < 0.2 * far[11] and abs(far[13] - far[12]) < 0.2 * far[12]


def test_cuts_are_told_from_motion_and_flicker():
    changes = np.full(60, 4.0)
    changes[30] = 40  # a cut
    changes[45:50] = [15, 22, 25, 20, 14]  # a fast pan
    assert np.flatnonzero(find_cuts(changes)).tolist() == [30]


def test_somebody_who_leaves_comes_back_as_the_same(jumper, film, body):
    width = jumper[0].shape[1]
    shifts = np.concatenate([np.zeros(10), np.linspace(0, 1, 5), np.ones(12), np.linspace(1, 0, 5), np.zeros(10)])
    frames = []
    for t, shift in enumerate(shifts):
        canvas = np.full((jumper[0].shape[0], width, 3), 150, np.uint8)
        left = int(shift * width)
        canvas[:, left:] = jumper[t % len(jumper)][:, : width - left]
        frames.append(canvas)
    motion, _ = follow(film(frames), body)
    check(motion, len(frames))
    assert motion.person_valid[2:9].all() and motion.person_valid[-8:].all()
    assert not motion.person_valid[17:25].any() and np.isnan(motion.reprojection_error[17:25]).all()
    # While nobody is there the motion goes on without a jump.
    step = np.linalg.norm(np.diff(motion.joints[:, 0], axis=0), axis=-1)
    assert step[16:26].max() < 0.3


def test_a_pedestrian_of_80_pixels_is_found_in_a_large_picture(film, body):
    slow = frames_of("demo_fullbody_jumping_jack.mp4", 14)
    small = [cv2.resize(f, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA) for f in slow]
    frames = []
    for frame in small:
        canvas = np.full((720, 1280, 3), 170, np.uint8)
        canvas[400 : 400 + frame.shape[0], 900 : 900 + frame.shape[1]] = frame
        frames.append(canvas)
    path = film(frames)
    found = survey(open_source(path))
    assert np.isfinite(found.circle).all() and found.circle[:, 2].max() < 80
    motion, _ = follow(path, body)
    check(motion, 14)
    assert motion.person_valid.mean() > 0.8
    middle = np.nanmedian(where(motion), 0)
    assert 900 < middle[0] < 1020 and 400 < middle[1] < 510
    assert np.nanmedian(motion.reprojection_error) < 0.03 * 80


@pytest.mark.parametrize("size", [(3840, 2160), (176, 144), (360, 640)])
def test_sizes(jumper, film, body, size):
    count = 3 if size[0] > 2000 else 10
    zoom = min(size[0] / jumper[0].shape[1], size[1] / jumper[0].shape[0])
    frames = []
    for frame in jumper[:count]:
        canvas = np.full((size[1], size[0], 3), 160, np.uint8)
        fitted = cv2.resize(frame, None, fx=zoom, fy=zoom)[: size[1], : size[0]]
        canvas[: fitted.shape[0], : fitted.shape[1]] = fitted
        frames.append(canvas)
    motion, _ = follow(film(frames), body)
    check(motion, count)
    assert motion.size == size and motion.person_valid.all()
    assert np.nanmedian(motion.reprojection_error) < 0.02 * 400 * zoom


@pytest.mark.parametrize("fps", [12.0, 120.0])
def test_rates(jumper, film, body, fps):
    frames = jumper if fps == 12 else [f for f in jumper for _ in range(2)]
    motion, _ = follow(film(frames, fps), body)
    check(motion, len(frames))
    assert motion.fps == pytest.approx(fps, rel=0.01) and motion.person_valid.all()
    assert np.nanmedian(motion.reprojection_error) < 6


def test_parts_out_of_the_picture_are_doubted(jumper, face, film, body):
    legless, _ = follow(film([f[:280] for f in jumper[:16]], name="half.mp4"), body)
    check(legless, 16)
    legs = [6, 7]
    assert legless.person_valid.all() and legless.trust[:, legs].max() < 0.5 < legless.trust[:, 0].min()
    close, _ = follow(film(face[:16], name="face.mp4"), body)
    check(close, 16)
    assert close.face_valid.all() and close.trust[:, legs].max() == 0
    assert np.nanmedian(close.reprojection_error) < 6


def test_one_picture(body, tmp_path):
    image = next(iter((INPUTS / "reference").glob("ref_tall*")))
    motion, _ = follow(image, body)
    check(motion, 1)
    assert motion.person_valid.all() and np.nanmedian(motion.reprojection_error) < 0.02 * motion.size[1]
    blank = tmp_path / "blank.png"
    write_image(blank, np.full((64, 64, 3), 128, np.uint8))
    with pytest.raises(ArtifactError, match="no person"):
        follow(blank, body)


@pytest.mark.parametrize("kind", ["turn", "clap", "hips"])
def test_backs_crossed_hands_and_hidden_hands(tmp_path, body, kind):
    """Synthetic people: the truth is known."""
    import torch

    from emosh_core.artifacts import Motion, Truth
    from emosh_core.geometry.camera import to_camera
    from emosh_core.metrics.pose import procrustes_aligned
    from emosh_core.synth.make import Set, make_clips
    from emosh_core.synth.report import takes
    from emosh_core.workspace.artifact import read

    config = SynthConfig(motion=kind, frames=41, resolution=384, framing="full", background="plain")
    set_ = Set.named("train", seed=3, others=0, assets=None, config=config, device="cpu")
    list(make_clips(tmp_path, set_, [0], workers=1))
    (clip,) = takes(tmp_path, [0])
    true, truth = read(clip / "motion.zarr", Motion), read(clip / "truth.zarr", Truth)
    motion, _ = follow(clip / "video.mp4", body, focal=float(np.median(true.K[:, 0, 0])), shape_rounds=6)
    check(motion, 41)
    camera = lambda m: to_camera(torch.from_numpy(m.joints[:, :22]), torch.from_numpy(m.w2c)).numpy()  # noqa: E731
    here, there = camera(motion), camera(true)
    seen = truth.joint_visible[:, :22]
    assert np.median(procrustes_aligned(here, there)[seen]) < 0.06
