"""Training of a small VAE on the frames and condition pictures that it will have to encode."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from emosh_core.generate.models import Networks
from emosh_core.generate.pixels import to_tensor
from emosh_core.training.dataset import LatentCache, Pixels

CLIP_LENGTHS = (1, 5)
"""Frames per training clip: stills as references are, and clips as tails are; longer ones teach little more."""


def decode_unclamped(vae: torch.nn.Module, latents: Tensor) -> Tensor:
    """Decode as `vae.decode` does but without its clamp, which would stop the gradient of saturated pixels."""
    vae.clear_cache()
    hidden = vae.post_quant_conv(latents)
    frames = []
    for i in range(hidden.shape[2]):
        vae._conv_idx = [0]
        first = {"first_chunk": True} if i == 0 else {}
        step = hidden[:, :, i : i + 1]
        frames.append(vae.decoder(step, feat_cache=vae._feat_map, feat_idx=vae._conv_idx, **first))
    vae.clear_cache()
    return torch.cat(frames, 2)


def draw_clips(pixels: Pixels, rng: np.random.Generator, *, size: int) -> Tensor:
    """Draw (B, 3, n, R, R) clips in [−1, 1], every second one of condition pictures."""
    length = int(rng.choice([n for n in CLIP_LENGTHS if n <= len(pixels.rgb)]))
    starts = rng.integers(len(pixels.rgb) - length + 1, size=size)
    sources = [pixels.rgb, pixels.cond]
    return to_tensor(np.stack([sources[i % 2][start : start + length] for i, start in enumerate(starts)]))


def reconstruction_loss(vae: torch.nn.Module, video: Tensor) -> Tensor:
    """Mean absolute error of a video (B, 3, 4k + 1, R, R) after encoding and decoding."""
    return (decode_unclamped(vae, vae.encode(video).latent_dist.mode()) - video).abs().mean()


def normalise_latents(networks: Networks, cache: LatentCache) -> LatentCache:
    """Store the mean and spread of a clip's latents per channel in the VAE's configuration, and apply them.

    Args:
        cache: encoded by a VAE whose configuration says mean 0 and spread 1, as a fresh one's does.

    Returns:
        What encoding again would give, bit by bit.
    """
    values = cache.clips.movedim(1, 0).flatten(1).double()
    mean, std = values.mean(1).float(), values.std(1).clamp(min=1e-3).float()
    networks.vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
    mean, std = mean.reshape(-1, 1, 1, 1), std.reshape(-1, 1, 1, 1)
    return replace(
        cache, clips=(cache.clips - mean) / std, motions=(cache.motions - mean) / std, fill=(cache.fill - mean) / std
    )
