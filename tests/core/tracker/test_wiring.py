"""What the parts of the tracker do once they are joined: known sizes, resting feet, eyelids, cuts."""

import numpy as np
import pytest
import torch

from emosh_core.artifacts import keypoint_slice
from emosh_core.body.pose import zero_pose
from emosh_core.geometry.camera import default_intrinsics, project
from emosh_core.settings import TrackConfig
from emosh_core.tracker import priors
from emosh_core.tracker.detectors import Detections
from emosh_core.tracker.eyelids import LIDS
from emosh_core.tracker.initialize import CAM_TO_WORLD
from emosh_core.tracker.marks import on_body
from emosh_core.tracker.population import population_of, stature
from emosh_core.tracker.track import track
from emosh_core.video_io import VideoWriter

FRAMES, SIZE = 30, (320, 400)


def standing(body, place, blink=None):
    """The likeliest adult, arms hanging, somewhere; with eyes closed in some frames."""
    people = population_of(body)
    pose = zero_pose(FRAMES)
    pose.body_pose[:], pose.transl[:] = priors.body_mean(), torch.tensor(place)
    if blink is not None:
        for side in ("Left", "Right"):
            pose.expression[blink, body.expression_names.index(f"eyeBlink{side}")] = 1
    return body.for_landmarks().with_shape(*people.split(body)).with_pose(pose)


def see(posed) -> Detections:
    K = torch.from_numpy(default_intrinsics(*SIZE))
    points = on_body(posed) @ CAM_TO_WORLD
    depth = torch.zeros(points.shape[:2])
    for part in ("left_hand", "right_hand", "face"):
        rows = keypoint_slice(part)
        depth[:, rows] = (points[:, rows, 2] - points[:, rows, 2][:, :1]) * K[0, 0] / points[..., 2].mean()
    body3d = points[:, :33] - points[:, [23, 24]].mean(1, keepdim=True)
    sure = np.ones(points.shape[:2], np.float32)
    return Detections(project(points, K).numpy(), depth.numpy(), sure, body3d.numpy(), np.ones(FRAMES, np.float32))


@pytest.fixture
def follow(body, tmp_path):
    clip = tmp_path / "blank.mp4"
    with VideoWriter(clip, 30, SIZE) as video:
        for _ in range(FRAMES):
            video.write(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))

    def run(seen, **settings):
        class Planted:
            name = "planted"

            def detect(self, frames):
                return seen

        return track(clip, body, TrackConfig(**settings), detector=Planted())

    return run


def height_of(body, motion) -> float:
    return float(stature(body, torch.from_numpy(np.r_[motion.shape.betas_body, motion.shape.betas_head])))


def test_a_known_height_and_a_known_distance_settle_the_size(body, follow):
    seen = see(standing(body, (0.0, 0.0, -3.4)))
    usual = height_of(body, follow(seen))
    tall = follow(seen, height=usual * 1.1)
    assert height_of(body, tall) == pytest.approx(usual * 1.1, rel=0.02)
    far = follow(seen, distance=3.4 * 1.1)
    assert height_of(body, far) == pytest.approx(usual * 1.1, rel=0.03)
    assert -far.joints[:, 0, 2].mean() == pytest.approx(3.4 * 1.1, rel=0.03)


def test_feet_that_rest_stay_where_a_detector_trembles(body, follow):
    """Heels and toes tremble slowly, as a detector's bias does; the other points do not."""
    seen = see(standing(body, (0.0, 0.0, -3.4)))
    drift = 3.0 * np.sin(np.arange(FRAMES) / 3.0)
    seen.keypoints2d[:, 27:33, 0] += drift[:, None]
    feet = follow(seen, lambda_smooth=0.0).joints[:, [10, 11]]
    held = np.linalg.norm(np.diff(feet, axis=0), axis=-1).mean()
    moving = see(standing(body, (0.0, 0.0, -3.4)))
    moving.keypoints2d[:, 27:33, 0] += drift[:, None]
    moving.confidence[:, 29:33] = 0.49  # too unsure to be called planted, hardly less weight
    loose = np.linalg.norm(np.diff(follow(moving, lambda_smooth=0.0).joints[:, [10, 11]], axis=0), axis=-1).mean()
    assert held < 0.6 * loose


def test_narrow_eyes_are_open_eyes_and_their_blinks_are_blinks(body, follow):
    blinks = slice(14, 18)
    seen = see(standing(body, (0.0, -0.55, -0.7), blinks))
    face = keypoint_slice("face").start
    for lids, corners, _ in LIDS.values():
        rows, ends = [face + i for i in lids], [face + i for i in corners]
        line = seen.keypoints2d[:, ends, 1].mean(1, keepdims=True)
        seen.keypoints2d[:, rows, 1] = line + 0.45 * (seen.keypoints2d[:, rows, 1] - line)
    lids = follow(seen).eyelid.mean(1)
    assert np.median(lids) < 0.13 and lids[15:17].min() > 0.6


def test_a_cut_is_a_jump_and_no_slide(body, follow, monkeypatch):
    from emosh_core.tracker import track as pipeline
    from emosh_core.tracker.survey import Survey

    near, away = see(standing(body, (0.0, 0.0, -3.4))), see(standing(body, (0.9, 0.0, -5.0)))
    second = np.arange(FRAMES) >= 15
    pick = lambda a, b: np.where(second.reshape(-1, *[1] * (a.ndim - 1)), b, a)  # noqa: E731
    both = Detections(*(pick(a, b) for a, b in zip(vars(near).values(), vars(away).values(), strict=True)))
    found = Survey(shot=second.astype(np.int32), circle=np.full((FRAMES, 3), np.nan, np.float32), people=np.int32(1))
    monkeypatch.setattr(pipeline, "_survey", lambda *args: found)
    monkeypatch.setattr(pipeline, "detect", lambda *args: (both, np.arange(FRAMES) / 30, []))
    place = follow(both).transl
    assert np.linalg.norm(place[15] - place[14]) > 1.5
    assert np.abs(np.diff(place[:15], axis=0)).max() < 0.01 and np.abs(np.diff(place[15:], axis=0)).max() < 0.01
