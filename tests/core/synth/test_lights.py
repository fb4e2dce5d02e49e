"""Lights: exposure, sides, shadows, highlights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from emosh_core.synth.scene.lights import BRIGHTEST, DARKEST, MOODS, choose_lights, kelvin_rgb, shade

FRONT = torch.tensor([[[0.0, 0.0, 1.0]]])


def ball(count=500):
    points = torch.nn.functional.normalize(torch.randn(1, count, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    return points[:, points[0, :, 2] > 0.15]


@pytest.mark.parametrize("mood", MOODS)
def test_skin_is_neither_burnt_nor_black(mood):
    normals = ball()
    for seed in range(30):
        lights = choose_lights(np.random.default_rng(seed), 0.0, mood)
        gain, _ = shade(normals, FRONT.expand_as(normals), torch.zeros(normals.shape[1]), lights)
        assert gain.amax(-1).quantile(0.98) < BRIGHTEST + 0.12
        assert gain.mean(-1).quantile(0.05) > DARKEST - 0.06
        assert 0.55 < gain.mean() < 1.05


def test_the_key_comes_from_its_side_and_can_be_hidden():
    dark = np.zeros(3, np.float32)
    lights = replace(choose_lights(np.random.default_rng(1), 0.0), fill_rgb=dark, rim_rgb=dark)
    toward = torch.as_tensor(lights.key)[None, None]
    normals = torch.cat([toward, -toward], 1)
    gloss = torch.full((2,), 0.5)
    gain, shine = shade(normals, toward.expand_as(normals), gloss, lights)
    hidden, dull = shade(normals, toward.expand_as(normals), gloss, lights, torch.zeros(1, 2))
    assert (gain[0, 0] > gain[0, 1]).all() and shine[0, 0] > 10 * shine[0, 1]
    torch.testing.assert_close(hidden[0, 1], gain[0, 1])
    assert (hidden[0, 0] < gain[0, 0]).all() and dull[0, 0] < 0.1 * shine[0, 0]


def test_two_sided_surfaces_do_not_care_which_side_is_out():
    lights = choose_lights(np.random.default_rng(2), 0.3)
    normals = ball()
    gloss = torch.full((normals.shape[1],), 0.2)
    both = torch.ones(normals.shape[1], dtype=torch.bool)
    viewer = FRONT.expand_as(normals)
    out, turned = (shade(sign * normals, viewer, gloss, lights, None, both) for sign in (1, -1))
    for a, b in zip(out, turned):
        torch.testing.assert_close(a, b)
    one, other = (shade(sign * normals, viewer, gloss, lights)[0] for sign in (1, -1))
    assert (one - other).abs().max() > 0.1


def test_inputs_stay_as_they_are():
    normals = ball()
    kept = normals.clone()
    shade(normals, FRONT.expand_as(normals), torch.ones(normals.shape[1]), choose_lights(np.random.default_rng(0), 0.0))
    assert torch.equal(normals, kept)


def test_lights_turn_with_the_camera():
    yaw = 0.7
    here, there = (choose_lights(np.random.default_rng(4), angle) for angle in (0.0, yaw))
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    for name in ("key", "fill", "rim"):
        np.testing.assert_allclose(turn @ getattr(here, name), getattr(there, name), atol=1e-6)


def test_warm_light_is_redder_than_cold():
    warm, cold = kelvin_rgb(3000), kelvin_rgb(9000)
    assert warm[0] > 1.15 > 1 > cold[0] and warm[2] < 0.8 < cold[2]
    np.testing.assert_allclose(kelvin_rgb(5800), 1, atol=1e-6)
