"""The equations of flow matching."""

import pytest
import torch

from emosh_core.generate import flow_matching as fm
from emosh_core.generate.sampling import solve_euler, solve_unipc

SHAPE = (2, 3, 4, 5, 5)


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(SHAPE, generator=generator), torch.randn(SHAPE, generator=generator)


def test_the_path_begins_at_the_data_and_ends_in_noise(pair):
    z0, z1 = pair
    assert torch.equal(fm.interpolate(z0, z1, torch.zeros(2)), z0)
    assert torch.equal(fm.interpolate(z0, z1, torch.ones(2)), z1)


def test_the_velocity_is_the_derivative_of_the_path(pair):
    z0, z1 = (z.double() for z in pair)
    t, h = torch.tensor([0.3, 0.7], dtype=torch.float64), 1e-3
    slope = (fm.interpolate(z0, z1, t + h) - fm.interpolate(z0, z1, t - h)) / (2 * h)
    torch.testing.assert_close(slope, fm.velocity(z0, z1), rtol=0, atol=1e-10)


def test_the_true_clean_latent_gives_the_true_velocity(pair):
    z0, z1 = pair
    t = torch.tensor([0.2, 0.9])
    predicted = fm.velocity_from_z0(fm.interpolate(z0, z1, t), z0, t)
    torch.testing.assert_close(predicted, fm.velocity(z0, z1), rtol=0, atol=1e-5)


def test_the_loss_is_0_for_the_true_velocity_and_only_there(pair):
    slots = torch.tensor([False, True, True, False])
    v = fm.velocity(*pair)
    assert fm.masked_loss(v, v, slots) == 0
    assert fm.masked_loss(v + 1, v, slots) == pytest.approx(1)


def test_masked_frames_have_no_gradient(pair):
    slots = torch.tensor([False, True, True, False])
    predicted = torch.zeros(SHAPE, requires_grad=True)
    fm.masked_loss(predicted, fm.velocity(*pair), slots).backward()
    assert (predicted.grad[:, :, ~slots] == 0).all()
    assert (predicted.grad[:, :, slots] != 0).all()


@pytest.mark.parametrize("solve", [solve_euler, solve_unipc])
def test_solvers_follow_a_known_field_to_the_data(pair, solve):
    z0, z1 = pair
    final = solve(lambda zt, t: (zt - z0) / t, z1, steps=8, shift=3.0)
    torch.testing.assert_close(final, z0, rtol=0, atol=2e-3 if solve is solve_unipc else 1e-5)


def test_four_steps_at_shift_5_are_the_distilled_list():
    times = fm.sampling_times(4, shift=5.0)
    torch.testing.assert_close(times, torch.tensor([1, 0.9375, 5 / 6, 0.625, 0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("shift", "median"), [(1.0, 0.5), (3.0, 0.75)])
def test_training_times_have_the_median_of_their_shift(shift, median):
    times = fm.draw_times(20_000, shift=shift, generator=torch.Generator().manual_seed(0))
    assert times.median().item() == pytest.approx(median, abs=0.01)
    assert 0 < times.min() < times.max() < 1
