"""Condition pictures show the mesh and its own landmarks through the motion's camera."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from emosh_core.artifacts import TRUST_PARTS, Cond, keypoint_slice
from emosh_core.body.joints import JOINT_NAMES
from emosh_core.errors import ConfigError
from emosh_core.geometry.camera import fit_intrinsics, project
from emosh_core.render.condition import render_condition
from emosh_core.render.overlay import overlay_frames
from emosh_core.render.view import views
from emosh_core.settings import RenderConfig
from emosh_core.tracker import priors

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def motion(make_motion):
    hands = np.zeros((2, 15, 3), np.float32)
    hands[..., 2] = 0.4
    return make_motion(2, size=(160, 200), left_hand_pose=hands, global_orient=[[0, 0.4, 0], [0, 0, 0]])


@pytest.fixture(scope="module")
def cond(motion, body):
    return render_condition(motion, body, RenderConfig())


HANDS = {"left_hand_pose": (0, 0, -0.5), "right_hand_pose": (0, 0, 0.5)}
GOLDEN_POSES = {
    # Joints by name with axis-angle [rad] added to hanging arms; the rest of the body turns by `turn`.
    "standing": {},
    "cheering": {"left_shoulder": (0, 0, 2.2), "right_shoulder": (0, 0, -2.2), "turn": (0, 0.3, 0)},
    "sitting": {"left_hip": (-1.5, 0, 0.2), "right_hip": (-1.5, 0, -0.2), "left_knee": (1.5, 0, 0),
                "right_knee": (1.5, 0, 0), "turn": (0, -0.6, 0)},
    "profile": {"left_shoulder": (0, -1.0, 0), "right_hip": (-0.6, 0, 0), "turn": (0, 1.4, 0)},
    "from behind": {"right_shoulder": (0, 0, -0.9), "head": (0, 0.5, 0), "turn": (0, 3.0, 0)},
}  # fmt: skip
GOLDEN_BODIES = {"tall and slim": (-1.2, 0, 0, 0, 0, 0, -2), "short and heavy": (0.6, 0, 0, 0, 0, 0, 3)}


def golden_frame(make_motion, make_shape, body, pose: str, build: str):
    joints = GOLDEN_POSES[pose]
    body_pose = priors.body_mean().numpy()[None].copy()
    for name, turn in joints.items():
        if name != "turn":
            body_pose[0, JOINT_NAMES.index(name) - 1] += turn
    fists = {part: np.tile(np.float32(turn), (1, 15, 1)) for part, turn in HANDS.items()}
    motion = make_motion(
        1, size=(256, 320), shape=make_shape(GOLDEN_BODIES[build]), body_pose=body_pose,
        global_orient=[joints.get("turn", (0, 0, 0))], **fists,
    )  # fmt: skip
    return render_condition(motion, body, RenderConfig()).frames[0]


@pytest.mark.parametrize("pose", GOLDEN_POSES)
def test_pictures_of_known_poses_have_not_drifted(pose, make_motion, make_shape, body):
    """Two builds side by side. On purpose changed? Delete the file, run once, look at it, commit it."""
    frames = [golden_frame(make_motion, make_shape, body, pose, build) for build in GOLDEN_BODIES]
    got, file = np.concatenate(frames, 1), GOLDEN / f"cond_{pose.replace(' ', '_')}.png"
    if not file.exists():
        cv2.imwrite(str(file), got[..., ::-1])
        pytest.fail(f"wrote {file.name}: look at it and run again")
    want = cv2.imread(str(file))[..., ::-1].astype(int)
    assert np.abs(want - got).mean() < 0.3
    assert np.abs(frames[0].astype(int) - frames[1]).mean() > 2  # the builds differ


def test_result_is_a_whole_cond_artifact(cond, motion):
    assert isinstance(cond, Cond) and cond.frames.shape == (2, 200, 160, 3) and cond.frames.dtype == np.uint8
    assert cond.mask.any((1, 2)).all() and not cond.frames[~_around(cond.mask) & ~_near_lines(cond)].any()
    assert (cond.K == motion.K).all() and cond.keypoints_drawn[:, keypoint_slice("face")].any()


def _around(mask):
    """The mask and the pixels beside it, which smooth outlines reach."""
    return np.stack([cv2.dilate(m.astype(np.uint8), np.ones((3, 3), np.uint8)) for m in mask]) > 0


def _near_lines(cond):
    near = np.zeros(cond.mask.shape, np.uint8)
    for t in range(len(near)):
        for x, y in cond.keypoints[t][cond.keypoints_drawn[t]]:
            cv2.circle(near[t], (round(float(x)), round(float(y))), 12, 1, -1)
    return near > 0


def test_keypoints_are_the_projected_landmarks(cond, motion, body):
    view = next(views(motion, body))
    np.testing.assert_allclose(cond.keypoints, project(view.landmarks_cam.numpy(), motion.K), atol=1e-3)


def test_invalid_parts_are_not_drawn(motion, body):
    no = np.zeros(2, bool)
    silent = replace(motion, face_valid=no, left_hand_valid=np.array([True, False]), right_hand_valid=no)
    cond = render_condition(silent, body, RenderConfig())
    drawn = cond.keypoints_drawn
    assert not drawn[:, keypoint_slice("face")].any()
    assert not drawn[1, keypoint_slice("left_hand")].any() and drawn[0, keypoint_slice("left_hand")].any()
    mesh = render_condition(silent, body, RenderConfig(layers="mesh")).frames
    assert (cond.frames[1] == mesh[1]).all() and (cond.frames[0] != mesh[0]).any()


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


def test_outlines_are_smooth_and_dark_around_the_body_only(motion, body):
    """Pixels beside the outline are mixtures of body and background; the mask says which centres are covered."""
    mesh = render_condition(motion, body, RenderConfig(layers="mesh"))
    beside = mesh.frames.any(-1) & ~mesh.mask
    assert beside.sum() > 100 and not (beside & ~_around(mesh.mask)).any()
    full = mesh.frames[mesh.mask].max(-1)
    assert mesh.frames[beside].max(-1).mean() < 0.6 * full.mean()


def test_skeleton_shows_what_was_detected_and_nothing_else(motion, body):
    points, confidence = np.zeros_like(motion.keypoints2d), np.zeros_like(motion.confidence)
    points[0, [12, 14]], confidence[0, [12, 14]] = [(20.5, 20.5), (60.5, 20.5)], 1
    seen = replace(motion, keypoints2d=points, confidence=confidence)
    frames = render_condition(seen, body, RenderConfig(layers="skeleton2d", size="320x400")).frames
    assert not frames[1].any()
    rows, columns = np.nonzero(frames[0].any(-1))
    assert abs(columns.min() - 40) < 4 and abs(columns.max() - 121) < 4 and abs(rows.mean() - 40.5) < 0.6


def test_camera_zooms_the_whole_picture(motion, body, cond):
    zoomed = render_condition(motion, body, RenderConfig(camera="0:2"))
    middle = np.float32([80, 100])
    np.testing.assert_allclose(zoomed.keypoints, (cond.keypoints - middle) * 2 + middle, atol=1e-3)
    assert zoomed.mask.mean() > 2 * cond.mask.mean()
    np.testing.assert_allclose(zoomed.K[:, 0, 0], 2 * motion.K[:, 0, 0])
    with pytest.raises(ConfigError, match="skeleton2d"):
        RenderConfig(camera="0:2", layers="skeleton2d")


def test_a_zooming_driver_is_followed_frame_by_frame(motion, body):
    zoom = np.linspace(1, 2, len(motion.transl), dtype=np.float32)[:, None]
    K = motion.K.copy()
    K[:, [0, 1], [0, 1]] *= zoom
    still, zooming = (render_condition(replace(motion, K=k), body, RenderConfig()) for k in (motion.K, K))
    middle = K[:, None, :2, 2]
    expected = (still.keypoints - middle) * zoom[:, None] + middle
    np.testing.assert_allclose(zooming.keypoints, expected, atol=1e-3)
    assert (zooming.frames[0] == still.frames[0]).all() and zooming.mask[-1].mean() > 2 * still.mask[-1].mean()


def test_grid_lies_on_the_floor_behind_the_body(motion, body, cond):
    grid = render_condition(motion, body, RenderConfig(grid=True))
    changed = (grid.frames != cond.frames).any(-1)
    assert changed.sum() > 200 and not changed[:, :80].any()  # the floor lies below the horizon
    assert changed[cond.mask].mean() < 0.02


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
    strip = second[:, :, 0] != 90  # nobody is there: only the strip of trust below
    assert not strip[:184].any() and strip[-8:].mean() > 0.9


def test_overlay_hatches_what_is_not_trusted(motion, body, cond):
    frames = [np.full((200, 160, 3), 90, np.uint8)] * 2
    trust = motion.trust.copy()
    trust[1, TRUST_PARTS.index("left_arm")] = 0
    seen = replace(motion, confidence=np.zeros_like(motion.confidence), trust=trust)
    whole, hatched = (frame.astype(int) for frame in overlay_frames(frames, replace(
        seen, **{name: np.repeat(getattr(seen, name)[:1], 2, 0) for name in ("transl", "body_pose", "global_orient")}
    ), body))  # fmt: skip
    changed = (whole != hatched).any(-1)[:184]
    assert 0.01 < changed.sum() / cond.mask[0].sum() < 0.2
    paler = np.abs(hatched[:184][changed] - 90).sum(-1) < np.abs(whole[:184][changed] - 90).sum(-1)
    assert paler.all()
