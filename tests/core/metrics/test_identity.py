"""Looks of people: mean and spread of each part's colour, and how far apart two looks are."""

import cv2
import numpy as np
import pytest

from emosh_core.metrics.identity import LEAST_PIXELS, look_distance, look_of, part_colours


def dressed(top: tuple[int, int, int], legs: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture (24, 20, 3) of somebody in two colours, and its parts: 0 above, 1 below, −1 around."""
    image, parts = np.full((24, 20, 3), 255, np.uint8), np.full((24, 20), -1)
    for part, (colour, rows) in enumerate(((top, slice(2, 12)), (legs, slice(12, 22)))):
        image[rows, 4:16], parts[rows, 4:16] = colour, part
    return image, parts


def lab(colour: tuple[int, int, int]) -> np.ndarray:
    return cv2.cvtColor(np.float32([[colour]]) / 255, cv2.COLOR_RGB2LAB)[0, 0]


def test_flat_parts_have_their_colour_and_no_spread():
    rows = part_colours(*dressed((200, 30, 30), (20, 40, 120)), 3)
    for row, colour in zip(rows, ((200, 30, 30), (20, 40, 120))):
        assert row == pytest.approx([*lab(colour), 0, 0, 0], abs=1e-4)
    assert np.isnan(rows[2]).all()


def test_spread_is_the_standard_deviation():
    image, parts = dressed((0, 0, 0), (0, 0, 0))
    image[2:12, 4:16:2] = 255  # half of the pixels black, half white: L* is 0 and 100
    assert part_colours(image, parts, 1)[0] == pytest.approx([50, 0, 0, 50, 0, 0], abs=0.01)


def test_a_part_of_few_pixels_is_not_looked_at():
    image, parts = dressed((200, 30, 30), (20, 40, 120))
    parts[parts == 0] = -1
    parts[0, : LEAST_PIXELS - 1] = 0
    assert np.isnan(part_colours(image, parts, 2)[0]).all()


def test_a_look_is_the_mean_over_pictures_that_show_the_part():
    image, parts = dressed((200, 30, 30), (20, 40, 120))
    hidden = np.where(parts == 1, -1, parts)
    other, _ = dressed((200, 30, 30), (90, 40, 120))
    look = look_of([image, other, image], [parts, hidden, hidden], 3)
    assert look[:2] == pytest.approx(part_colours(image, parts, 2)) and np.isnan(look[2]).all()


def test_distance_is_the_mean_over_shared_parts():
    one = np.zeros((3, 6))
    other = np.zeros((3, 6))
    other[0, :2], other[1, 5] = (3, 4), 2
    one[2] = np.nan
    assert look_distance(one, other) == look_distance(other, one) == pytest.approx((5 + 2) / 2)
    assert look_distance(other, other) == 0
    assert np.isnan(look_distance(np.full((3, 6), np.nan), other))


def test_the_same_clothes_in_less_light_are_nearer_than_other_clothes():
    look = part_colours(*dressed((200, 30, 30), (20, 40, 120)), 2)
    dim = part_colours(*dressed((170, 26, 26), (17, 34, 102)), 2)
    strange = part_colours(*dressed((60, 160, 60), (20, 40, 120)), 2)
    assert look_distance(look, dim) < look_distance(look, strange)
