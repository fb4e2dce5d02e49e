"""Shadows fall where the light's geometry says."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emosh_core.synth.shadow import FLOOR_REACH, FLOOR_SIDE, see_from, shade_floor

CORNERS = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
SIDES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
FACES = torch.tensor([t for a, b, c, d in SIDES for t in ((a, b, c), (a, c, d))])


def cube(half: float, centre) -> torch.Tensor:
    return (CORNERS * half + torch.tensor(centre))[None]


def floor_maps(verts, direction, softness=0.02):
    key = see_from(torch.tensor(direction), verts, FACES)
    below = see_from(torch.tensor([0.0, -1.0, 0.0]), verts, FACES)
    return shade_floor(key, below, verts, softness)


def at(shadow, x: float, z: float) -> tuple[float, float]:
    return tuple(shadow.at(torch.tensor([[[[x, z]]]]))[0, :, 0, 0].tolist())


@given(azimuth=st.floats(-math.pi, math.pi), height=st.floats(0.5, 2.0), x=st.floats(-3, 3), z=st.floats(-3, 3))
@settings(max_examples=25, deadline=None)
def test_the_shadow_of_a_cube_lies_away_from_the_light_by_its_height(azimuth, height, x, z):
    direction = [math.sin(azimuth), 2.0, math.cos(azimuth)]
    shadow = floor_maps(cube(0.15, (x, height, z)), direction)
    thrown = (x - height / 2 * math.sin(azimuth), z - height / 2 * math.cos(azimuth))
    assert at(shadow, *thrown)[0] > 0.9
    opposite = (x + height / 2 * math.sin(azimuth), z + height / 2 * math.cos(azimuth))
    assert at(shadow, *opposite)[0] < 0.05


@given(azimuth=st.floats(-math.pi, math.pi))
@settings(max_examples=20, deadline=None)
def test_the_shadow_is_as_large_as_the_light_makes_it(azimuth):
    shadow = floor_maps(cube(0.4, (0, 1, 0)), [math.sin(azimuth), 2.0, math.cos(azimuth)])
    area = shadow.amount[0, 0].sum() * (2 * FLOOR_REACH / FLOOR_SIDE) ** 2
    # Along the rays a face keeps its area times its cosine to the light over the floor's cosine to it.
    expected = 0.8**2 * (1 + (abs(math.sin(azimuth)) + abs(math.cos(azimuth))) / 2)
    assert area == pytest.approx(expected, rel=0.08)


def test_what_stands_on_the_floor_darkens_it_and_what_hangs_high_does_not():
    standing, hanging = (at(floor_maps(cube(0.2, (0, y, 0)), [0.0, 1.0, 3.0]), 0, 0)[1] for y in (0.2, 1.5))
    assert standing > 0.6 and hanging < 0.02
    assert at(floor_maps(cube(0.2, (0, 0.2, 0)), [0.0, 1.0, 3.0]), 1.5, 1.5)[1] < 0.01


def test_beyond_the_map_there_is_no_shadow():
    assert at(floor_maps(cube(0.2, (0, 0.2, 0)), [0.0, 1.0, 0.0]), 2.5 * FLOOR_REACH, 0) == (0, 0)


def test_a_cube_shades_what_lies_behind_it_and_not_itself():
    verts = torch.cat([cube(0.3, (0, 1, 0)), cube(0.1, (0, 1, -1))], 1)
    faces = torch.cat([FACES, FACES + 8])
    key = see_from(torch.tensor([0.0, 0.0, 1.0]), verts, faces)
    front = torch.tensor([[0.0, 0.0, 1.0]])
    points = torch.tensor([[[0.0, 1.0, 0.3], [0.1, 1.1, 0.3], [0.0, 1.0, -0.9], [0.05, 0.95, -0.9]]])
    lit = key.lit(points, front.expand(1, 4, 3), 0.01)
    assert lit.tolist() == [[1, 1, 0, 0]]


def test_soft_light_has_soft_edges():
    verts, faces = torch.cat([cube(0.3, (0, 1, 0)), cube(1.0, (0, 1, -2))], 1), torch.cat([FACES, FACES + 8])
    key = see_from(torch.tensor([0.0, 0.0, 1.0]), verts, faces)
    x = torch.linspace(0.1, 0.5, 41)
    points = torch.stack([x, torch.ones_like(x), torch.full_like(x, -1.0)], -1)[None]
    normals = torch.tensor([0.0, 0.0, 1.0]).expand(1, 41, 3)
    between = [int(((lit := key.lit(points, normals, softness)) > 0).logical_and(lit < 1).sum())
               for softness in (0.005, 0.08)]  # fmt: skip
    assert between[1] > 2 * between[0] and between[1] >= 6
