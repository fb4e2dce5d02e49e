"""From noise to the latents of one chunk: guidance, conditioned latents, and the solver."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from itertools import pairwise

import torch
from torch import Tensor

from emosh_core.generate.flow_matching import euler_step, sampling_times
from emosh_core.generate.layout import Conditions
from emosh_core.generate.models import Networks
from emosh_core.generate.profiles import Profile

FIRST_BLOCK_CHANGE = 0.08
"""Relative change of the first block's output below which a step reuses what the other blocks last added."""


@torch.no_grad()
def sample(
    networks: Networks, conditions: Conditions, profile: Profile, *, seed: int, guidance: float = 1.0
) -> Tensor:
    """Integrate from noise to the clip latents (1, C, F, H, W) of one chunk.

    Args:
        guidance: above 1, how far to go beyond `networks.unguided`; each step then takes two passes.
    """
    spec = networks.spec
    clean = conditions.sequence(torch.zeros_like(conditions.motion_latents))
    channels = conditions.channels()
    # Drawn on the CPU, so that a seed means the same on every device.
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed)).to(clean)
    if spec.given == "clean":
        noise = torch.where(conditions.conditioned[:, None, None], clean, noise)

    def field(zt: Tensor, t: Tensor) -> Tensor:
        times = t.expand(len(zt)).to(zt)
        with _named(networks, profile, "wanted"):
            velocity = networks.velocity(zt, times, channels)
        if guidance > 1:
            with _named(networks, profile, "unwanted"):
                unwanted = networks.velocity(zt, times, channels, networks.unguided)
            velocity = unwanted + guidance * (velocity - unwanted)
        return velocity if spec.given == "free" else conditions.pin(velocity, clean, noise)

    steps, shift = profile.steps or spec.steps, profile.shift or networks.shift
    with _cached(networks.transformer, profile):
        if profile.solver == "euler":
            final = solve_euler(field, noise, steps=steps, shift=shift, sigmas=profile.sigmas)
        else:
            final = solve_unipc(field, noise, steps=steps, shift=shift)
    # The solver ends on the given latents up to rounding, if at all; the decoder gets them exactly.
    return conditions.sequence(final[:, :, conditions.clip])[:, :, conditions.clip]


def solve_euler(
    field: Callable[[Tensor, Tensor], Tensor], noise: Tensor, *, steps: int, shift: float, sigmas: Sequence[float] = ()
) -> Tensor:
    """Integrate `field(zt, t)` from t = 1 to 0 with Euler's method; sigmas as in `sampling_times`."""
    zt = noise
    for t, t_next in pairwise(sampling_times(steps, shift=shift, sigmas=sigmas)):
        zt = euler_step(zt, field(zt, t), t, t_next)
    return zt


def solve_unipc(field: Callable[[Tensor, Tensor], Tensor], noise: Tensor, *, steps: int, shift: float) -> Tensor:
    """Integrate `field(zt, t)` from t = 1 to 0 with diffusers' UniPC multistep solver."""
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    scheduler.set_timesteps(steps)
    zt = noise
    for timestep, t in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        zt = scheduler.step(field(zt, t), timestep, zt, return_dict=False)[0]
    return zt


@contextmanager
def _cached(transformer: torch.nn.Module, profile: Profile):
    """Let a transformer skip blocks within one chunk; another chunk begins without memory, so that it can resume."""
    if profile.cache == "off":
        yield
        return
    from diffusers import FirstBlockCacheConfig

    transformer.enable_cache(FirstBlockCacheConfig(threshold=FIRST_BLOCK_CHANGE))
    try:
        yield
    finally:
        transformer.disable_cache()


def _named(networks: Networks, profile: Profile, name: str):
    """Keep what the passes of guidance remember apart."""
    return nullcontext() if profile.cache == "off" else networks.transformer.cache_context(name)
