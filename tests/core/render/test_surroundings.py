"""Floor and wall behind a person, as other cameras than the still's see them."""

import cv2
import numpy as np
import pytest

from emosh_core.render.surroundings import Surroundings

K = np.array([[500.0, 0, 160], [0, 500, 120], [0, 0, 1]])
SIZE = (320, 240)
LEVEL = np.diag([1.0, -1, -1, 1])
"""A camera at the origin that looks along −z, y up."""


def camera(step=(0, 0, 0), turn=0.0, up=0.7):
    """A camera `up` m above y = 0 that made a step (right, up, forward) [m] and turned to the left [rad]."""
    spin = np.eye(4)
    spin[:3, :3] = cv2.Rodrigues(np.array([0.0, turn, 0]))[0]
    w2c = spin @ LEVEL
    w2c[:3, 3] = -w2c[:3, :3] @ (np.array([step[0], up + step[1], -step[2]]))
    return w2c


def picture(K, w2c, wall: float) -> np.ndarray:
    """What a camera sees of a floor y = 0 with smooth waves on it, and of a wall at z = −`wall` with others."""
    x, y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(K).T @ w2c[:3, :3]
    centre = -w2c[:3, :3].T @ w2c[:3, 3]
    with np.errstate(divide="ignore"):
        to_floor, to_wall = -centre[1] / rays[..., 1], (-wall - centre[2]) / rays[..., 2]
    floor = (to_floor > 0) & (to_floor < to_wall)
    place = centre + rays * np.where(floor, to_floor, to_wall)[..., None]
    waves = np.where(
        floor, np.sin(4 * place[..., 0]) * np.sin(4 * place[..., 2]), np.cos(5 * place[..., 0] + 3 * place[..., 1])
    )
    return np.repeat((0.5 + 0.4 * waves)[..., None], 3, 2).astype(np.float32)


def inner(seen: np.ndarray) -> np.ndarray:
    return seen[30:-30, 40:-40]


def test_zoom_scales_about_the_principal_point_and_its_own_camera_sees_the_picture():
    plate = np.zeros((240, 320, 3), np.float32)
    plate[115:125, 155:165] = 1
    still = Surroundings(plate=plate, K=K, w2c=LEVEL, wall=3.0, floor=-1.5)
    seen = still.see(K * [[2, 1, 1], [1, 2, 1], [1, 1, 1]], LEVEL, SIZE)
    rows, columns = np.nonzero(seen[..., 0] > 0.5)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (110, 129, 150, 169)
    assert np.array_equal(still.see(K, LEVEL, SIZE), plate)


@pytest.mark.parametrize("step", [(0.25, 0, 0), (0, 0, 0.5), (-0.1, 0.15, -0.3)])
def test_a_step_of_the_camera_shows_floor_and_wall_as_they_are(step):
    plate = picture(K, camera(), wall=5.0)
    still = Surroundings(plate=plate, K=K, w2c=camera(), wall=5.0, floor=0.0)
    now = camera(step, turn=0.03)
    seen, true = still.see(K, now, SIZE), picture(K, now, wall=5.0)
    assert np.abs(inner(seen) - inner(true)).mean() < 0.02 < 0.1 < np.abs(inner(plate) - inner(true)).mean()
    flat = Surroundings(plate=plate, K=K, w2c=camera(), wall=5.0).see(K, now, SIZE)
    lower = np.s_[-60:-20, 40:-40]
    assert np.abs(seen[lower] - true[lower]).mean() < 0.5 * np.abs(flat[lower] - true[lower]).mean()


def test_a_camera_that_only_turns_needs_no_depth():
    plate = picture(K, camera(), wall=5.0)
    near, far = (Surroundings(plate=plate, K=K, w2c=camera(), wall=wall, floor=floor).see(K, camera(turn=0.1), SIZE)
                 for wall, floor in ((2.0, None), (9.0, 0.0)))  # fmt: skip
    np.testing.assert_allclose(near, far, atol=1e-5)


def test_a_floor_above_the_camera_is_none():
    plate = picture(K, camera(), wall=5.0)
    now = camera((0.2, 0, 0))
    wrong, none = (
        Surroundings(plate=plate, K=K, w2c=camera(), wall=5.0, floor=f).see(K, now, SIZE) for f in (2.0, None)
    )
    assert np.array_equal(wrong, none)


def test_what_comes_nearer_is_not_blurred():
    """A step forward enlarges a chequered floor, whose contrast must not suffer from what the far floor does."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    plate = np.repeat(((x // 3 + y // 3) % 2).astype(np.float32)[..., None], 3, 2)
    still = Surroundings(plate=plate, K=K, w2c=camera(), wall=9.0, floor=0.0)
    seen = still.see(K, camera((0, 0, 1.5)), SIZE)[-60:, 40:-40]
    assert seen.std() > 0.35


def test_a_floor_that_lay_behind_the_stills_camera_is_not_shown_upside_down():
    plate = np.repeat(np.linspace(0, 1, SIZE[1], dtype=np.float32)[:, None, None], SIZE[0], 1).repeat(3, 2)
    still = Surroundings(plate=plate, K=K, w2c=camera(), wall=5.0, floor=0.0)
    column = still.see(K, camera((0, 0, -6)), SIZE)[:, 160, 0]
    assert np.isfinite(column).all() and column[-1] > 0.3
