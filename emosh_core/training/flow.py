"""The loss of the transformer: flow matching over the latent frames that are to be made."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from emosh_core.generate.flow_matching import interpolate, masked_loss, velocity
from emosh_core.generate.models import Networks
from emosh_core.training.latents import Batch, Latents

PROBE_TIMES = (0.2, 0.4, 0.6, 0.8)


def draw_noise(batch: Batch, generator: torch.Generator) -> Tensor:
    """Draw the noise of a batch's sequence (B, C, L, H, W), on the CPU: the same for every device."""
    z0 = batch.conditions.sequence(batch.clips)
    return torch.randn(z0.shape, generator=generator).to(z0)


def flow_loss(networks: Networks, batch: Batch, times: Tensor, z1: Tensor) -> Tensor:
    """Return the loss of a batch; reference, aligned and temporal latents stay outside it.

    Args:
        times: (B,) in [0, 1].
        z1: (B, C, L, H, W) noise.
    """
    conditions = batch.conditions
    z0 = conditions.sequence(batch.clips)
    times = times.to(z0)
    if batch.context:
        networks = replace(networks, context={**networks.context, **batch.context})
    predicted = networks.velocity(interpolate(z0, z1, times), times, conditions.channels())
    before = batch.weight[:, :, :1].expand(-1, -1, conditions.clip.start, -1, -1)
    weight = torch.cat([before, batch.weight], 2)
    return masked_loss(predicted, velocity(z0, z1), ~conditions.conditioned, weight)


@torch.no_grad()
def probe(networks: Networks, latents: Latents, *, size: int, grey: Tensor) -> float:
    """Return the mean loss at fixed times, noise, windows and references: comparable between checkpoints."""
    losses = []
    for i, t in enumerate(PROBE_TIMES):
        batch = latents.draw(
            np.random.default_rng(i), size=size, layout=(i % 2 == 1, False), warp=0.0, fill=networks.spec.cond_fill,
            grey=grey, tail=networks.spec.tail_latents, device=grey.device,
        )  # fmt: skip
        noise = draw_noise(batch, torch.Generator().manual_seed(i))
        losses.append(flow_loss(networks, batch, torch.full((size,), t), noise).item())
    return float(np.mean(losses))
