"""The transformer's loss: only what is to be made counts, and each place by its weight; data drawn ahead in order."""

import threading
from types import SimpleNamespace

import pytest
import torch

from emosh_core.generate.layout import Conditions
from emosh_core.training.ahead import Ahead
from emosh_core.training.flow import flow_loss
from emosh_core.training.latents import Batch


def make_batch(weight):
    draw = lambda *dims: torch.randn(*dims, generator=torch.Generator().manual_seed(sum(dims)))  # noqa: E731
    clips = draw(2, 4, 3, 2, 2)
    conditions = Conditions(
        reference_latent=draw(2, 4, 1, 2, 2), motion_latents=draw(2, 4, 3, 2, 2), fill=draw(1, 4, 3, 2, 2),
        temporal_latents=clips[:, :, :2], aligned_latent=draw(2, 4, 1, 2, 2),
    )  # fmt: skip
    return Batch(conditions=conditions, clips=clips, weight=weight)


def loss_of(error, weight):
    """Return the loss of a network whose velocity is wrong by `error` (L, h, w)."""
    batch = make_batch(weight)
    z0 = batch.conditions.sequence(batch.clips)
    z1 = torch.randn(z0.shape, generator=torch.Generator().manual_seed(7))
    networks = SimpleNamespace(velocity=lambda zt, t, channels: z1 - z0 + error)
    return float(flow_loss(networks, batch, torch.tensor([0.3, 0.8]), z1))


def test_what_is_given_stays_outside_the_loss():
    error = torch.zeros(5, 2, 2)
    error[:4] = 3.0  # reference, aligned and two temporal latents
    assert loss_of(error, torch.ones(2, 1, 3, 2, 2)) == pytest.approx(0, abs=1e-9)
    error[4] = 2.0
    assert loss_of(error, torch.ones(2, 1, 3, 2, 2)) == pytest.approx(4)


def test_each_place_counts_by_its_weight():
    error = torch.zeros(5, 2, 2)
    error[4, 0, 0] = 2.0
    weight = torch.ones(2, 1, 3, 2, 2)
    assert loss_of(error, weight) == pytest.approx(1)
    weight[:, :, 2, 0, 0] = 5
    assert loss_of(error, weight) == pytest.approx(4 * 5 / 8)
    weight[:, :, 2, 0, 0] = 0
    assert loss_of(error, weight) == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_data_drawn_ahead_are_those_of_their_step(workers):
    drawn, lock = [], threading.Lock()

    def draw(step, group):
        with lock:
            drawn.append((step, group))
        return step, group

    with Ahead(draw, steps=4, workers=workers) as ahead:
        asked = [(step, group) for step in range(3, 12) for group in (2, 3)]
        assert [ahead(*each) for each in asked] == asked
    assert len(drawn) == len(set(drawn)) and set(asked) <= set(drawn)
