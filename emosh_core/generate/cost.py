"""What a chunk costs a diffusion generator before it is made: operations and bytes, from the networks' sizes alone.

Wan transformer (Wan 2.1's architecture, arXiv 2503.20314; diffusers' `WanTransformer3DModel`), for N tokens, width d,
feed-forward width f, L blocks and M context tokens, a multiply-add counted as two operations:

    linear  2 N (6 d² + 2 d f) L        self-attention's q k v o, cross-attention's q o, feed-forward
    self    4 N² d L
    cross   4 N M d L

At 512 × 512 px, 77 frames and Wan's 14 B sizes that is 910 TFLOP for a first chunk and 972 for a later one. The VAE's
operations are counted by torch itself, on the meta device.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from emosh_core.generate.generator import Workload
from emosh_core.generate.layout import latent_count
from emosh_core.generate.memory import needs, precision_of
from emosh_core.generate.models import Networks
from emosh_core.generate.profiles import Profile

WAN_CONTEXT = 512 + 257
"""Text and image tokens of a transformer with image conditioning."""

def transformer_operations(tokens: int, *, width: int, ffn: int, layers: int, context: int) -> float:
    """Return the operations of one forward pass, by the formula above."""
    linear = 2 * tokens * (6 * width**2 + 2 * width * ffn)
    return layers * (linear + 4 * tokens * (tokens + context) * width)


@cache
def _counted(kind: type, config: str, side: int, frames: int) -> tuple[float, float]:
    """Return the operations of encoding and decoding so many frames."""
    with torch.device("meta"), torch.no_grad():
        vae = kind.from_config(json.loads(config))
        video = torch.empty(1, 3, frames, side, side)
        latents = torch.empty(1, vae.config.z_dim, latent_count(frames), *[side // vae.config.scale_factor_spatial] * 2)
        counts = []
        for call in (lambda: vae.encode(video), lambda: vae.decode(latents)):
            with FlopCounterMode(display=False) as counter:
                call()
            counts.append(float(counter.get_total_flops()))
    return counts[0], counts[1]


def vae_operations(vae: torch.nn.Module, side: int, frames: int) -> tuple[float, float]:
    """Return the operations of encoding and of decoding 4k + 1 frames of a square video.

    After the first frame each group of four costs the same, so that two counts say it for any length.
    """
    config = json.dumps({key: value for key, value in vae.config.items() if not key.startswith("_")})
    one, five = (_counted(type(vae), config, side, count) for count in (1, 5))
    groups = latent_count(frames) - 1
    return one[0] + groups * (five[0] - one[0]), one[1] + groups * (five[1] - one[1])


def workloads(networks: Networks, profile: Profile, *, passes: int = 1) -> Callable[[int, bool], Workload]:
    """Return what says the workload of (frames per chunk, whether it continues another chunk).

    Args:
        profile: sampling steps, precision and where the weights wait.
        passes: forward passes per step, 2 with guidance.
    """
    spec, config, vae = networks.spec, networks.transformer.config, networks.vae
    side = spec.resolution // vae.config.scale_factor_spatial
    per_latent = (side // config.patch_size[1]) * (side // config.patch_size[2])
    width, context = config.num_attention_heads * config.attention_head_dim, WAN_CONTEXT if config.image_dim else 1
    sizes = {"width": width, "ffn": config.ffn_dim, "layers": config.num_layers, "context": context}
    half = precision_of(profile, spec) != "fp32"
    clips = 2 if spec.detail else 1

    def workload(window: int, later: bool) -> Workload:
        latents = latent_count(window) + (2 if later else 1)
        tokens = latents * per_latent
        forward = transformer_operations(tokens, **sizes)
        encode, decode = vae_operations(vae, spec.resolution, window)
        tail = vae_operations(vae, spec.resolution, spec.overlap)[0] if later else 0.0
        held = needs(networks.transformer, replace(spec, window=window), profile, vae_width=vae.config.base_dim).total
        video = 2 * clips * 12 * window * spec.resolution**2
        return Workload(
            tokens=tokens, transformer=(profile.steps or spec.steps) * passes * forward,
            vae=2 * encode + tail + clips * decode, half=half,
            memory=int(held + video + sum(value.nbytes for value in vae.parameters())),
        )  # fmt: skip

    return workload
