"""Unseen texels: clothes end where they end in front, the back of the head is hair, hands are hands."""

import numpy as np
import pytest

from emosh_core.render.continuation import INSIDE, Texels, continue_colors, texel_places
from emosh_core.render.texture import _atlas

SKIN, HAIR, SHIRT, WRONG = (220, 170, 140), (40, 30, 20), (30, 60, 200), (0, 255, 0)


@pytest.fixture(scope="module")
def texels(body) -> Texels:
    _, face, bary = _atlas(body)
    return texel_places(body, body.faces.numpy()[face], bary, face)


def paint(texels: Texels, sleeve_end: float):
    """A person of skin in a shirt with sleeves, hair on the crown; only what faces the viewer is known."""
    colors = np.full((len(texels.place), 3), SKIN, np.float32)
    x, y, z = texels.place.T
    colors[texels.groups["trunk"]] = SHIRT
    colors[texels.groups["arms"] & (np.abs(x) < sleeve_end)] = SHIRT
    hair = texels.groups["upper"] & (y > np.quantile(y[texels.groups["head"]], 0.8))
    colors[hair] = HAIR
    groups = texels.groups
    middle = {name: np.median(z[groups[name]]) for name in ("arms", "trunk", "head", "hand.L", "hand.R")}
    known = np.zeros(len(colors), np.float32)
    for name, depth in middle.items():
        known[groups[name] & (z > depth + 0.02 * (name == "head"))] = 1
    return colors, known


def share_of(colors, where, color, tolerance=40):
    return (np.linalg.norm(colors[where] - color, axis=1) < tolerance).mean()


def test_sleeves_end_behind_where_they_end_in_front_and_the_back_of_the_head_is_hair(texels):
    colors, known = paint(texels, sleeve_end=0.35)
    made = continue_colors(colors * known[:, None], known, texels, np.zeros(3))
    x, unseen = np.abs(texels.place[:, 0]), known == 0
    arms = texels.groups["arms"] & unseen
    assert share_of(made, arms & (x < 0.32), SHIRT) > 0.9
    assert share_of(made, arms & (x > 0.38), SKIN) > 0.9
    assert share_of(made, texels.groups["behind"], HAIR) > 0.9
    assert share_of(made, texels.groups["ears"] & unseen, SKIN) > 0.9
    seen = (known == 1) & texels.groups["trunk"]
    assert seen.any() and np.array_equal(made[seen], colors[seen])


def test_one_who_has_no_hair_gets_none(texels):
    colors, known = paint(texels, 0.35)
    colors[texels.groups["head"]] = SKIN
    made = continue_colors(colors * known[:, None], known, texels, np.zeros(3))
    assert share_of(made, texels.groups["behind"], SKIN) > 0.95


def test_a_raised_chin_hides_the_crown_but_not_that_there_is_hair(texels):
    colors, known = paint(texels, 0.35)
    known[texels.groups["crown"]] = 0
    hair = texels.groups["upper"] & (known == 1) & (np.linalg.norm(colors - HAIR, axis=1) < 1)
    assert 0 < hair.sum() < 0.5 * (texels.groups["head"] & (known == 1)).sum()
    made = continue_colors(colors * known[:, None], known, texels, np.zeros(3))
    assert share_of(made, texels.groups["behind"], HAIR) > 0.9
    assert share_of(made, texels.groups["crown"], HAIR) > 0.9


def test_what_is_not_the_hands_colour_is_not_on_the_hand(texels):
    colors, known = paint(texels, 0.35)
    hand = np.nonzero(texels.groups["hand.L"] & (known == 1))[0]
    colors[hand[::5]] = WRONG
    made = continue_colors(colors, known, texels, np.zeros(3))
    assert share_of(made, texels.groups["hand.L"], SKIN) > 0.99


def test_a_hand_that_nobody_saw_is_like_the_face(texels):
    colors, known = paint(texels, 0.9)
    known[texels.groups["hand.R"]] = 0
    made = continue_colors(colors, known, texels, np.zeros(3))
    assert share_of(made, texels.groups["hand.R"], SKIN) == 1


def test_mouth_darkens_inwards_and_nothing_seen_is_the_fallback(texels):
    colors, known = paint(texels, 0.35)
    made = continue_colors(colors, known, texels, np.zeros(3))
    z, cavity = texels.place[:, 2], texels.groups["mouth_cavity"]
    front, back = (made[cavity & (z > np.quantile(z[cavity], 0.95))], made[cavity & (z < np.quantile(z[cavity], 0.3))])
    assert front.mean() > 3 * back.mean() and front.max() <= max(INSIDE["mouth_cavity"])
    assert (continue_colors(colors, 0 * known, texels, np.array([1, 2, 3])) == [1, 2, 3]).all()


def test_ears_are_as_large_as_ears(texels):
    place = texels.place[texels.groups["ears"]]
    for side in (-1, 1):
        width, height, depth = np.ptp(place[place[:, 0] * side > 0], axis=0)
        assert 0.05 < height < 0.07 and 0.02 < depth < 0.045 and 0.01 < width < 0.03


def test_back_of_an_arm_lies_between_the_colours_of_its_two_sides(texels):
    x, y, z = texels.place.T
    arm = texels.groups["arms"] & (x > 0.38) & (x < 0.5)
    colors, known = np.full((len(x), 3), 100, np.float32), np.zeros(len(x), np.float32)
    colors[y > np.median(y[arm])] = 200
    known[arm & (z > np.quantile(z[arm], 0.5))] = 1
    made = continue_colors(colors * known[:, None], known, texels, np.zeros(3))[:, 0]
    height = (y[arm] - y[arm].min()) / np.ptp(y[arm])
    back = z[arm] < np.quantile(z[arm], 0.2)
    middle = made[arm][back & (np.abs(height - 0.5) < 0.2)]
    assert len(middle) and np.mean((middle > 115) & (middle < 185)) > 0.9


def test_throat_that_the_chin_hides_is_skin_and_not_collar(texels):
    colors, known = paint(texels, 0.35)
    neck, (across, height, depth) = texels.groups["neck"], np.abs(texels.place).T
    front = neck & (across < 0.02) & (depth > np.median(depth[neck]))
    collar, hidden = np.quantile(height[front], [0.3, 0.6])
    colors[neck & ((height < collar) | (across > 0.03))] = SHIRT
    known[neck & (height < hidden)] = 1
    made = continue_colors(colors * known[:, None], known, texels, np.zeros(3))
    assert share_of(made, front & (known == 0), SKIN) > 0.8  # the rest blends with the collar
