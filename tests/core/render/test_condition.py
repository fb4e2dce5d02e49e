"""Condition pictures show the mesh and its own landmarks through the motion's camera."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from emosh_core.artifacts import Cond, keypoint_slice
from emosh_core.geometry.camera import fit_intrinsics, project
from emosh_core.render.condition import render_condition
from emosh_core.render.overlay import overlay_frames
from emosh_core.render.view import views
from emosh_core.settings import RenderConfig

GOLDEN = Path(__file__).parents[2] / "golden" / "cond_frame.png"


@pytest.fixture(scope="module")
def motion(make_motion):
    hands = np.zeros((2, 15, 3), np.float32)
    hands[..., 2] = 0.4
    return make_motion(2, size=(160, 200), left_hand_pose=hands, global_orient=[[0, 0.4, 0], [0, 0, 0]])


@pytest.fixture(scope="module")
def cond(motion, body):
    return render_condition(motion, body, RenderConfig())


def test_frame_of_a_known_pose_has_not_drifted(cond):
    """On purpose changed? Delete the file, run once, look at it, commit it."""
    if not GOLDEN.exists():
        cv2.imwrite(str(GOLDEN), cond.frames[0, ..., ::-1])
        pytest.fail(f"wrote {GOLDEN.name}: look at it and run again")
    want = cv2.imread(str(GOLDEN))[..., ::-1].astype(int)
    assert np.abs(want - cond.frames[0]).mean() < 0.3


def test_result_is_a_whole_cond_artifact(cond, motion):
    assert isinstance(cond, Cond) and cond.frames.shape == (2, 200, 160, 3) and cond.frames.dtype == np.uint8
    assert cond.mask.any((1, 2)).all() and not cond.frames[~cond.mask & ~_near_lines(cond)].any()
    assert np.array_equal(cond.K, motion.K) and cond.keypoints_drawn[:, keypoint_slice("face")].any()


def _near_lines(cond):
    near = np.zeros(cond.mask.shape, np.uint8)
    for t in range(len(near)):
        for x, y in cond.keypoints[t][cond.keypoints_drawn[t]]:
            cv2.circle(near[t], (round(float(x)), round(float(y))), 12, 1, -1)
    return near > 0


def test_keypoints_are_the_projected_landmarks(cond, motion, body):
    view = next(views(motion, body))
    np.testing.assert_allclose(cond.keypoints, project(view.landmarks_cam.numpy(), motion.K), atol=1e-4)


def test_invalid_parts_are_not_drawn(motion, body):
    no = np.zeros(2, bool)
    silent = replace(motion, face_valid=no, left_hand_valid=np.array([True, False]))
    drawn = render_condition(silent, body, RenderConfig()).keypoints_drawn
    assert not drawn[:, keypoint_slice("face")].any()
    assert not drawn[1, keypoint_slice("left_hand")].any() and drawn[0, keypoint_slice("left_hand")].any()


def test_face_seen_from_behind_is_not_drawn(make_motion, body):
    back = make_motion(1, size=(160, 200), global_orient=[[0, np.pi, 0]])
    drawn = render_condition(back, body, RenderConfig()).keypoints_drawn[:, keypoint_slice("face")]
    assert drawn.mean() < 0.05


def test_other_size_shows_the_whole_driver_frame(motion, body, cond):
    wide = render_condition(motion, body, RenderConfig(size="320x200"))
    assert wide.frames.shape[1:3] == (200, 320)
    np.testing.assert_allclose(wide.keypoints, cond.keypoints + np.float32((80, 0)), atol=1e-3)
    np.testing.assert_allclose(fit_intrinsics(np.eye(3), (100, 50), (50, 50)), [[0.5, 0, 0], [0, 0.5, 12.5], [0, 0, 1]])


def test_layers_choose_what_is_drawn(motion, body):
    mesh = render_condition(motion, body, RenderConfig(layers="mesh"))
    lines = render_condition(motion, body, RenderConfig(layers="keypoints"))
    assert not mesh.keypoints_drawn.any() and mesh.frames[mesh.mask].any(-1).all()
    assert lines.keypoints_drawn.any() and lines.frames.any(-1).mean() < 0.3 * lines.mask.mean()


def test_progress_ends_at_the_number_of_frames(motion, body):
    calls = []
    render_condition(motion, body, RenderConfig(), progress=lambda *args: calls.append(args))
    assert calls[-1] == (2, 2)


def test_overlay_changes_the_person_and_marks_detections_only(motion, body, cond):
    frames = [np.full((200, 160, 3), 90, np.uint8)] * 2
    points = np.zeros_like(motion.keypoints2d)
    confidence = np.zeros_like(motion.confidence)
    points[0, 5], confidence[0, 5] = (12.5, 12.5), 1
    seen = replace(motion, keypoints2d=points, confidence=confidence, person_valid=np.array([True, False]))
    first, second = overlay_frames(frames, seen, body)
    assert (first != 90).any(-1)[cond.mask[0]].mean() > 0.95 and (first[12, 12] != 90).any()
    assert (second == 90).all()
