"""Camera moves: how they are written, and what they do to a picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emosh_core.errors import ConfigError
from emosh_core.geometry.camera import CAMERA_AT_ORIGIN, default_intrinsics, project, to_camera
from emosh_core.geometry.keyframes import CameraMoves, parse_camera
from emosh_core.geometry.trajectory import move_camera

PIVOT = np.array([0.1, -0.2, -3.0])


def cameras(text, frames=11):
    w2c = np.repeat(CAMERA_AT_ORIGIN[None], frames, 0)
    return move_camera(np.tile(default_intrinsics(200, 100), (len(w2c), 1, 1)), w2c, parse_camera(text), PIVOT)


def seen(text, point, frames=11):
    K, w2c = cameras(text, frames)
    return project(to_camera(np.tile(np.float32(point), (frames, 1, 1)), w2c), K)[:, 0]


def test_keys_are_read_with_and_without_a_word():
    assert parse_camera("") == CameraMoves()
    assert parse_camera("0:1.0,76:1.6") == CameraMoves(zoom=((0, 1.0), (76, 1.6)))
    both = parse_camera(" zoom 0:1, 9:.5 ; dolly 3:-0.25;orbit 0:0,5:+20 ")
    assert both == CameraMoves(zoom=((0, 1.0), (9, 0.5)), dolly=((3, -0.25),), orbit=((0, 0.0), (5, 20.0)))


@pytest.mark.parametrize(
    ("text", "what"),
    [("0-1.0", "FRAME:VALUE"), ("spin 0:1", "unknown"), ("zoom 0:1; zoom 1:2", "repeated"), ("5:1,5:2", "rise"),
     ("0:0", "out of range"), ("0:nan", "FRAME:VALUE"), ("0:1e3", "FRAME:VALUE"), ("-1:1", "FRAME:VALUE"),
     ("dolly 0:1000", "out of range"), ("zoom", "FRAME:VALUE")],
)  # fmt: skip
def test_what_is_no_camera_move_is_refused(text, what):
    with pytest.raises(ConfigError, match=what):
        parse_camera(text)


@given(st.text(alphabet="0123456789.:,; zomdlyrbit-+", max_size=24))
def test_any_text_is_read_or_refused(text):
    try:
        moves = parse_camera(text)
    except ConfigError:
        return
    K, w2c = move_camera(np.tile(np.eye(3), (5, 1, 1)), np.repeat(CAMERA_AT_ORIGIN[None], 5, 0), moves, PIVOT)
    assert np.isfinite(K).all() and np.isfinite(w2c).all()


def test_no_moves_keep_the_camera():
    K, w2c = cameras("")
    assert (K == default_intrinsics(200, 100)).all() and (w2c == CAMERA_AT_ORIGIN).all()


def test_zoom_enlarges_about_the_middle_by_equal_factors():
    point = (0.3, 0.2, -3)
    away = seen("0:1,10:4", point) - [100, 50]
    np.testing.assert_allclose(away[1:] / away[:-1], 4**0.1, rtol=1e-4)
    np.testing.assert_allclose(away[10] / away[0], 4, rtol=1e-4)


def test_dolly_brings_what_lies_ahead_nearer():
    away = seen("dolly 0:0,10:1", (0.3, 0.2, -3)) - [100, 50]
    np.testing.assert_allclose(away[10] / away[0], 3 / 2, rtol=1e-5)
    assert (seen("dolly 2:1,4:1", (0.3, 0.2, -3)) == seen("dolly 0:1", (0.3, 0.2, -3))).all()


def test_orbit_keeps_the_vertical_through_the_person_and_moves_to_the_persons_left():
    axis = seen("orbit 0:0,10:90", PIVOT + np.array([0, 0.4, 0]))
    np.testing.assert_allclose(axis, np.broadcast_to(axis[0], axis.shape), atol=1e-3)
    _K, w2c = cameras("orbit 0:0,10:90")
    centre = np.linalg.inv(w2c[10])[:3, 3]
    # From in front to x, the left side.
    np.testing.assert_allclose(centre, PIVOT + np.array([3.0, 0.2, 0.1]), atol=1e-5)
    turns = w2c[:, :3, :3]
    np.testing.assert_allclose(turns @ turns.swapaxes(1, 2), np.tile(np.eye(3), (11, 1, 1)), atol=1e-6)
