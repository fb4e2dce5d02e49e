"""Training of a small generator from scratch: first its VAE, then the transformer by flow matching."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emosh_core.artifacts import Cond
from emosh_core.generate.flow_matching import draw_times, interpolate, masked_loss, velocity
from emosh_core.generate.layout import Conditions
from emosh_core.generate.models import Networks, Spec, build
from emosh_core.settings import TrainConfig
from emosh_core.training.augment import draw_layout
from emosh_core.training.autoencoder import draw_clips, normalise_latents, reconstruction_loss
from emosh_core.training.dataset import LatentCache, Pixels, draw_batch, encode_windows, load_pixels
from emosh_core.training.run import open_run

PROBE_TIMES = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a run ended with."""

    checkpoint: Path
    losses: list[float] = field(default_factory=list)
    """Loss of each transformer step of this call."""
    probe_before: float
    """Loss at fixed times and noise of the untrained transformer."""
    probe_after: float
    """The same of the trained one."""


def train(
    cond: Cond,
    frames: Iterable[np.ndarray],
    config: TrainConfig,
    run_dir: Path,
    *,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> TrainResult:
    """Train a generator on one clip, or continue the run that `run_dir` holds.

    Args:
        cond: T condition pictures.
        frames: the T frames (H, W, 3) uint8 RGB that they were made from.
        run_dir: gets `metrics.jsonl` and `checkpoints/`.
        progress: called with (steps done, steps in all) over both phases.
    """
    pixels = load_pixels(cond, frames, config.resolution)
    run = open_run(
        run_dir,
        asdict(config) | {"data": _digest(pixels)},
        build=lambda: _build(config),
        device=device,
        may_change={"name", "steps", "checkpoint_every"},
        checkpoint_every=config.checkpoint_every,
        total=config.vae_steps + config.steps,
        progress=progress,
    )
    networks = run.networks

    def vae_loss(step: int) -> Tensor:
        video = draw_clips(pixels, np.random.default_rng([config.seed, step]), size=config.vae_batch)
        return reconstruction_loss(networks.vae, video.to(networks.device))

    run.descend(networks.vae.parameters(), vae_loss, lr=config.vae_lr, first=0, last=config.vae_steps)
    cache = encode_windows(networks, pixels, stride=config.stride)
    if run.step == config.vae_steps:
        cache = normalise_latents(networks, cache)

    def transformer_loss(step: int) -> Tensor:
        rng = np.random.default_rng([config.seed, step])
        layout = draw_layout(rng, temporal=config.temporal, aligned=config.aligned)
        batch = draw_batch(networks, cache, pixels, rng, size=config.batch, layout=layout, warp=config.warp)
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        times = draw_times(config.batch, shift=config.shift, generator=generator)
        return flow_loss(networks, *batch, times, generator)

    before = probe(Networks(_build(config).transformer, networks.vae, networks.spec).to(device), cache, pixels, config)
    losses = run.descend(
        networks.transformer.parameters(), transformer_loss, lr=config.lr, first=config.vae_steps, last=run.total
    )
    return TrainResult(
        checkpoint=run.checkpoint,
        losses=losses,
        probe_before=before,
        probe_after=probe(networks, cache, pixels, config),
    )


def flow_loss(
    networks: Networks, conditions: Conditions, clips: Tensor, times: Tensor, generator: torch.Generator
) -> Tensor:
    """Return the flow-matching loss of a batch over the latent frames that are to be made.

    Args:
        clips: (B, C, F, H, W) clean clip latents.
        times: (B,) in [0, 1].
        generator: draws the noise, on the CPU.
    """
    z0 = conditions.sequence(clips)
    z1 = torch.randn(z0.shape, generator=generator).to(z0)
    times = times.to(z0)
    predicted = networks.velocity(interpolate(z0, z1, times), times, conditions.channels())
    return masked_loss(predicted, velocity(z0, z1), ~conditions.conditioned)


@torch.no_grad()
def probe(networks: Networks, cache: LatentCache, pixels: Pixels, config: TrainConfig) -> float:
    """Return the mean loss at fixed times, noise, windows and references: comparable between checkpoints."""
    losses = []
    for i, t in enumerate(PROBE_TIMES):
        rng = np.random.default_rng([config.seed, i])
        batch = draw_batch(networks, cache, pixels, rng, size=config.batch, layout=(i % 2 == 1, False), warp=0.0)
        generator = torch.Generator().manual_seed(i)
        losses.append(flow_loss(networks, *batch, torch.full((config.batch,), t), generator).item())
    return float(np.mean(losses))


def _build(config: TrainConfig) -> Networks:
    spec = Spec(
        resolution=config.resolution, window=config.window, overlap=config.overlap, prediction=config.prediction
    )
    return build(
        spec,
        heads=config.heads,
        head_width=config.head_width,
        layers=config.layers,
        vae_width=config.vae_width,
        seed=config.seed,
    )


def _digest(pixels: Pixels) -> str:
    digest = hashlib.sha256(pixels.rgb.tobytes())
    digest.update(pixels.cond.tobytes())
    return digest.hexdigest()
