"""Eyes look where they are turned and reflect the light; teeth stay behind closed lips and follow the jaw."""

import numpy as np
import pytest
import torch
from emosh_kernels.rasterize import rasterize

from emosh_core.body.pose import pose_from_motion
from emosh_core.render.eyes import IRIS, PATCH, PUPIL, WIDEST, _rigid, fit_eyes
from emosh_core.render.shade import KEY_LIGHT
from emosh_core.render.teeth import COLUMNS, fit_teeth, paint_teeth
from emosh_core.render.teeth import PATCH as TEETH_PATCH
from emosh_core.render.view import views

JAW_OPEN = 24


@pytest.fixture(scope="module")
def faces(make_motion, body):
    """The head from near: at rest, eyes turned to both sides, mouth open, eyes closed, the head turned."""
    expression = np.zeros((6, 52), np.float32)
    assert body.expression_names[JAW_OPEN] == "jawOpen"
    expression[3, JAW_OPEN] = 1
    expression[4, [body.expression_names.index(f"eyeBlink{side}") for side in ("Left", "Right")]] = 1
    eye_pose, orient = np.zeros((6, 2, 3), np.float32), np.zeros((6, 3), np.float32)
    eye_pose[1, :, 1], eye_pose[2, :, 1] = 0.4, -0.4
    orient[5, 1] = 0.3
    place = np.tile(np.float32([0, -0.6, -0.8]), (6, 1))
    motion = make_motion(6, size=(240, 240), transl=place, expression=expression, eye_pose=eye_pose,
                         global_orient=orient)  # fmt: skip
    return motion, next(views(motion, body))


def angle_between(drawn, brightest: bool):
    """Return where the darkest or brightest texel of a patch lies: direction (3,) about the eyeball's centre."""
    gray = drawn.mean(-1)
    row, column = np.unravel_index(gray.argmax() if brightest else gray.argmin(), gray.shape)
    x, y = (column + 0.5) / (PATCH / 2) - 1, 1 - (row + 0.5) / (PATCH / 2)
    angle = np.hypot(x, y) * WIDEST
    around = np.arctan2(y, x)
    return np.array([np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around), np.cos(angle)])


def test_pupil_is_at_the_pole_and_the_glint_stays_with_the_light(faces, body):
    motion, view = faces
    image = np.full((240, 240, 3), 150, np.uint8)
    eyes = fit_eyes(image, view, body, motion.K[0])
    drawn = eyes.draw(view)
    assert drawn.shape == (6, 2, PATCH, PATCH, 3) and drawn.min() >= 0 and drawn.max() <= 1
    light = np.array(KEY_LIGHT) / np.linalg.norm(KEY_LIGHT)
    for k, side in enumerate("LR"):
        turn, centre = _rigid(eyes.rest[side], view.verts_cam[:, eyes.verts[side]])
        for t in range(6):
            assert np.arccos(angle_between(drawn[t, k], False)[2]) < PUPIL < IRIS
            in_camera = turn[t].numpy() @ angle_between(drawn[t, k], True)
            to_viewer = -centre[t].numpy() / np.linalg.norm(centre[t].numpy())
            half = (light + to_viewer) / np.linalg.norm(light + to_viewer)
            assert in_camera @ half > np.cos(0.08)


def test_eyes_turn_with_the_pose_and_the_lid_casts_a_shadow(faces, body):
    motion, view = faces
    eyes = fit_eyes(np.full((240, 240, 3), 150, np.uint8), view, body, motion.K[0])
    turn, _ = _rigid(eyes.rest["L"], view.verts_cam[:, eyes.verts["L"]])
    gaze = turn[:, :, 2].numpy()
    assert gaze[1, 0] > 0.3 > 0.1 > abs(gaze[0, 0]) and gaze[2, 0] < -0.3
    open_eye, closed = eyes.draw(view)[[0, 4], 0]
    assert open_eye[6].mean() < 0.8 * open_eye[-7].mean()  # darker above than below
    assert closed[PATCH // 2 + 4 :].mean() < open_eye[PATCH // 2 + 4 :].mean()


def test_rigid_fit_recovers_a_motion():
    rest = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(1)))[0]
    turn = turn * torch.sign(torch.linalg.det(turn))[:, None, None]
    shift = torch.tensor([[1.0, 2, 3], [-1, 0, 2]])
    found, at = _rigid(rest, rest @ turn.transpose(1, 2) + shift[:, None])
    torch.testing.assert_close(found, turn, atol=1e-4, rtol=0)
    torch.testing.assert_close(at, shift, atol=1e-4, rtol=0)


def test_teeth_show_when_the_mouth_opens_and_not_before(faces, body):
    motion, view = faces
    teeth = fit_teeth(body.with_shape_of(motion.shape))
    points = teeth.pose(view.posed, pose_from_motion(motion).expression)
    both = torch.cat([view.posed.verts, points], 1) * torch.tensor([1.0, -1, -1])
    faces_ = torch.cat([body.faces, teeth.faces + len(body.template)])
    seen = rasterize(both, faces_, torch.as_tensor(motion.K), (240, 240)).face_id >= len(body.faces)
    # The model's lips are parted by a hair at rest.
    assert max(seen[0].sum(), seen[4].sum()) < 6 and seen[3].sum() > 30
    half = 2 * (COLUMNS + 1)
    upper, lower = points[:, :half], points[:, half:]
    assert (lower[3] - lower[0])[:, 1].max() < -0.012 and (upper[3] - upper[0]).abs().max() < 1e-5


def test_teeth_are_bright_in_the_middle_and_dark_at_the_cheeks():
    picture = paint_teeth()
    assert picture.shape == (TEETH_PATCH[1], TEETH_PATCH[0], 3) and picture.max() <= 1
    row = picture[TEETH_PATCH[1] * 3 // 4, : TEETH_PATCH[0] // 2].mean(-1)
    assert row[28:36].max() > 0.8 > 0.4 > row[[0, -1]].max()
