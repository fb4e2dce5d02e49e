"""How much memory sampling takes, and an error that says so instead of a stack trace."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from emosh_core.errors import DeviceError
from emosh_core.generate.layout import latent_count
from emosh_core.generate.models import Networks, Spec
from emosh_core.generate.profiles import PROFILES, Profile

BYTES = {"fp8": 1, "bf16": 2, "fp32": 4}
"""Of a weight."""
VAE_BUFFERS = 16
"""Full-size feature maps, of 4 frames each, that decoding holds at its peak: 10 to 24 measured on a CPU."""
VAE_WIDTH = 96
"""Channels of a feature map in the published VAE."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Rough peak memory of sampling [bytes]."""

    weights: float
    work: float
    """What one block holds while it computes, or the decoder, whichever is more."""

    @property
    def total(self) -> float:
        return self.weights + self.work

    def __str__(self) -> str:
        return f"{self.total / 1e9:.1f} GB ({self.weights / 1e9:.1f} GB weights, {self.work / 1e9:.1f} GB to work in)"


def needs(transformer: torch.nn.Module, spec: Spec, profile: Profile, *, vae_width: int = VAE_WIDTH) -> Needs:
    """Estimate what sampling takes on the device; a model on the meta device will do.

    On an H200 a step at 512 × 512 held 2.6 GB besides the weights, 1.6 compiled; the decoder is reckoned with more.
    """
    config, precision = transformer.config, precision_of(profile, spec)
    weights = sum(value.numel() for value in transformer.parameters()) * BYTES[precision]
    if profile.offload == "blocks":
        weights *= 2 / config.num_layers  # one block that computes and one that is on its way
    width = config.num_attention_heads * config.attention_head_dim
    tokens = (latent_count(spec.window) + 2) * (spec.resolution // 16) ** 2
    # Per token: states and projections in the transformer's precision, three norms in fp32.
    block = tokens * ((8 * width + 3 * config.ffn_dim) * (4 if precision == "fp32" else 2) + 12 * width)
    decoding = VAE_BUFFERS * 4 * BYTES["fp32"] * spec.resolution**2 * vae_width
    return Needs(weights=weights, work=max(block, decoding))


def precision_of(profile: Profile, spec: Spec) -> str:
    """Return what the weights are stored in."""
    return spec.precision if profile.precision == "spec" else profile.precision


@contextmanager
def memory_errors(transformer: torch.nn.Module, spec: Spec, profile: Profile, device: str) -> Iterator[None]:
    """Turn running out of memory into an error that names the memory and the profile that would fit.

    Raises:
        DeviceError: there was too little memory.
    """
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one; the CPU's allocator has no class of its own
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        have, wanted = available(device), needs(transformer, spec, profile)
        smaller = {name: needs(transformer, spec, other) for name, other in PROFILES.items()}
        fitting = {name: value for name, value in smaller.items() if value.total < min(have, wanted.total)}
        fix = f"a smaller picture or shorter chunks: --set resolution={spec.resolution // 32 * 16} or --set window=33"
        if fitting:
            best = max(fitting, key=lambda name: fitting[name].total)
            fix = f"--profile {best}, which needs about {fitting[best]}"
        found = f"{have / 1e9:.1f} GB on {device}; this needs about {wanted}"
        raise DeviceError("the memory is too small for these settings", found=found, fix=fix) from error


def available(device: str) -> int:
    """Return the memory that this process has and could have [bytes]."""
    if not device.startswith("cuda"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device)


def guarded(networks: Networks, profile: Profile):
    """Return `memory_errors` for networks that are loaded."""
    return memory_errors(networks.transformer, networks.spec, profile, str(networks.device))
