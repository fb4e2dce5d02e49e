"""The background without the person, without the person's shadow, and as moving cameras see it."""

import cv2
import numpy as np
import pytest

from emosh_core.render.plate import clean_plate, follow, plane_motion, shadow_of

K = np.array([[500.0, 0, 160], [0, 500, 120], [0, 0, 1]])


@pytest.fixture
def studio():
    """A plain studio with soft gradients, a person and a shadow beside the feet; with and without them."""
    y, x = np.mgrid[:240, :320]
    empty = np.stack([150 + 0.1 * x + 0.05 * y + 8 * c for c in range(3)], -1).astype(np.float32)
    person = np.zeros((240, 320), bool)
    person[40:200, 140:180] = True
    inside = (((x - 110) / 45) ** 2 + ((y - 190) / 9) ** 2 < 1).astype(np.float32)
    shadow = cv2.GaussianBlur(inside, (0, 0), 2.0)
    image = empty * (1 - 0.2 * shadow[..., None])
    image[person] = (200, 30, 30)
    return image.round().astype(np.uint8), empty, person, shadow > 0.5


def test_plate_has_no_person_left():
    image = np.full((120, 100, 3), (100, 120, 140), np.uint8)
    person = np.zeros((120, 100), bool)
    person[30:110, 40:60] = True
    image[person] = (255, 0, 0)
    plate = clean_plate(image, person, None)
    assert np.abs(plate - [100, 120, 140]).max() < 12
    assert np.abs(plate.mean((0, 1)) - [100, 120, 140]).max() < 1


def test_shadow_is_found_and_removed(studio):
    image, empty, person, shadow = studio
    found = shadow_of(image, person)
    beside = shadow & ~person
    assert found[beside].mean() > 0.9 and found[:100].sum() == 0
    assert found[~cv2.dilate(shadow.astype(np.uint8), np.ones((25, 25))).astype(bool)].mean() < 0.05
    plate = clean_plate(image, person, person)
    assert np.abs(plate - empty)[beside].mean() < 3 < 15 < np.abs(image - empty)[beside].mean()


def test_a_busy_floor_has_no_shadow(studio):
    image, _, person, _ = studio
    noise = cv2.resize(np.random.default_rng(0).normal(0, 40, (24, 32)).astype(np.float32), (320, 240))
    busy = (image + noise[..., None]).clip(0, 255).astype(np.uint8)
    assert not shadow_of(busy, person).any()


def test_fill_has_the_grain_of_the_picture(studio):
    image, _, person, _ = studio
    noisy = (image + np.random.default_rng(1).normal(0, 4, image.shape[:2])[..., None]).clip(0, 255).astype(np.uint8)
    plate, smooth = clean_plate(noisy, person, person), clean_plate(image, person, person)
    rough = [(p - cv2.GaussianBlur(p, (0, 0), 1.0))[60:180, 150:170].std() for p in (plate, smooth)]
    assert rough[0] > 2 > 1 > rough[1]


def test_plane_motion_maps_points_of_the_plane_as_projecting_them_does():
    rng = np.random.default_rng(0)
    points = np.append(rng.uniform(-1, 1, (20, 2)), np.full((20, 1), 4.5), 1)
    zoomed = K * [[1.3, 1, 1], [1, 1.3, 1], [1, 1, 1]]
    w2c = np.eye(4)
    w2c[:3, 3] = [0.1, -0.05, -0.8]  # a step forward and aside
    angle = 0.1
    w2c[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    see = lambda k, m: (lambda q: q[:, :2] / q[:, 2:])((points @ m[:3, :3].T + m[:3, 3]) @ k.T)  # noqa: E731
    moved = np.append(see(K, np.eye(4)), np.ones((20, 1)), 1) @ plane_motion(K, np.eye(4), zoomed, w2c, 4.5).T
    np.testing.assert_allclose(moved[:, :2] / moved[:, 2:], see(zoomed, w2c), atol=1e-6)


def test_zoom_scales_about_the_principal_point():
    plate = np.zeros((240, 320, 3), np.float32)
    plate[115:125, 155:165] = 1
    zoomed = K * [[2, 1, 1], [1, 2, 1], [1, 1, 1]]
    seen = follow(plate, np.eye(3), plane_motion(K, np.eye(4), zoomed, np.eye(4), 3.0), (320, 240))
    rows, columns = np.nonzero(seen[..., 0] > 0.5)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (110, 129, 150, 169)
    assert np.array_equal(follow(plate, np.eye(3), np.eye(3), (320, 240)), plate)
