"""The background without the person and without the person's shadow."""

import cv2
import numpy as np
import pytest

from emosh_core.render.plate import clean_plate, shadow_of


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
