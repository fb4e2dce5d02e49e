"""Training of a generator: its VAE if it has none yet, then the transformer by flow matching."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emosh_core.generate.flow_matching import draw_times
from emosh_core.generate.models import Networks, Spec, build, load, save_network, save_spec
from emosh_core.settings import TrainConfig
from emosh_core.training import adapter
from emosh_core.training.ahead import Ahead
from emosh_core.training.augment import draw_layout
from emosh_core.training.autoencoder import draw_clips, draw_length, normalise, reconstruction_loss
from emosh_core.training.descent import Recipe
from emosh_core.training.engine import join_ranks
from emosh_core.training.flow import draw_noise, flow_loss, probe
from emosh_core.training.full_size import FullSize
from emosh_core.training.latents import Batch, Latents, cache_latents, open_cache
from emosh_core.training.memory import describe, layout_of, sizes_of
from emosh_core.training.pictures import draw_sheet
from emosh_core.training.run import Run, meet, open_run
from emosh_core.training.samples import Samples

MAY_CHANGE = {"name", "steps", "checkpoint_every", "minutes", "pictures", "zero", "gradient_checkpointing"}
"""Settings that a continued run may have otherwise."""
AHEAD = 6
"""Steps whose data are drawn before they are needed."""
VAE_SIDE = 128
"""Largest side of the clips that a VAE is trained on [px]."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a run ended with, or where it stopped."""

    checkpoint: Path
    step: int
    total: int
    losses: list[float] = field(default_factory=list)
    """Loss of each step of this call."""
    probe_before: float | None = None
    """Loss at fixed times and noise of the transformer as the run got it; None before it is reached."""
    probe_after: float | None = None
    """The same of the average of the trained one."""


def train(
    samples: Samples, config: TrainConfig, run_dir: Path, *, data: str, base: Networks | FullSize | None = None,
    device: torch.device | str = "cpu", until: float = float("inf"),
    progress: Callable[[int, int, str], None] | None = None, note: Callable[[str], None] | None = None,
) -> TrainResult:  # fmt: skip
    """Train a generator on samples, or continue the run that `run_dir` holds. Every rank calls this.

    Args:
        run_dir: gets `metrics.jsonl`, `latents/`, `checkpoints/` and `pictures/`.
        data: names the samples; a run is not continued with others.
        config: `method` says lora or full, not auto.
        base: what to start from; without it a new VAE is trained first, and a transformer of the settings' size.
            The registered Wan checkpoint gets a LoRA, and its precision is the device's.
        until: `time.monotonic()` at which to stop.
        progress: called with (steps done, steps in all, how it goes).
        note: takes lines that say what the transformer's training needs of each process's memory.
    """
    ranks = join_ranks(device)
    wan = base if isinstance(base, FullSize) else None
    if wan:
        config = replace(config, precision=wan.precision, pictures=False)  # those would need a second copy of it
    vae_steps = 0 if base else config.vae_steps
    identity = asdict(config) | {"data": data} | ({"wan": wan.identity} if wan else {})
    run = open_run(
        run_dir, identity, ranks=ranks, may_change=MAY_CHANGE, until=until, progress=progress,
        total=vae_steps + config.steps, checkpoint_every=config.checkpoint_every,
    )  # fmt: skip
    networks = wan.networks if wan else (base or _build(config, samples)).to(ranks.device)
    if note is not None and config.steps:
        plan = describe(sizes_of(networks, config, vae_stays=not wan), layout_of(config, ranks.world))
        for line in [*plan, *(wan.notes if wan else [])]:
            note(line)
    if vae_steps:
        networks = _train_vae(run, networks, samples, config)
    if run.step < vae_steps or not config.steps:
        return TrainResult(checkpoint=run.newest, step=run.step, total=run.total, losses=run.losses)
    latents = _latents(run, networks, samples, config, wan)
    grey = networks.grey_latents(config.resolution)
    networks = wan.load() if wan else networks
    before = probe(networks, latents, size=config.batch, grey=grey)
    _train_transformer(run, networks, samples, latents, grey, config, first=vae_steps, whole=wan is None)
    meet(ranks)
    if not wan:
        networks.to("cpu")  # a device that is full with one copy of the weights has no room for two
    del networks
    trained = wan.load(run.newest) if wan else load(run.newest, ranks.device)
    after = probe(trained, latents, size=config.batch, grey=grey)
    return TrainResult(checkpoint=run.newest, step=run.step, total=run.total, losses=run.losses, probe_before=before,
                       probe_after=after)  # fmt: skip


def _train_vae(run: Run, networks: Networks, samples: Samples, config: TrainConfig) -> Networks:
    """Train the VAE, or what is left of it; return the networks with its average and the latents' statistics."""

    def draw(step: int, group: int) -> tuple[Tensor, Tensor]:
        length = draw_length(samples, np.random.default_rng([config.seed, 2, step]))
        rng, side = np.random.default_rng([config.seed, 0, step, group]), min(VAE_SIDE, samples.side)
        return draw_clips(samples, rng, size=config.vae_batch, length=length, side=side, device=networks.device)

    def write(folder: Path, averaged: dict[str, Tensor]) -> None:
        shown = type(networks.vae).from_config(networks.vae.config)
        shown.load_state_dict(averaged)
        shown = replace(networks, vae=shown.to(networks.device).eval())
        if run.step == config.vae_steps:
            normalise(shown, samples)
        _write(folder, shown)

    # Under stage 3 a VAE, whose layers are called again and again for each clip, would only wait for its weights.
    recipe = replace(_recipe(config, config.vae_steps, config.vae_lr), zero=min(config.zero, 2))
    with Ahead(draw, steps=AHEAD, workers=_drawers()) as drawn:

        def loss_at(step: int, group: int) -> Tensor:
            return reconstruction_loss(networks.vae, *drawn(step, group))

        run.descend("vae", networks.vae, loss_at, recipe, first=0, write=write)
    meet(run.ranks)
    return replace(networks, vae=load(run.newest, networks.device).vae)


def _latents(run: Run, networks: Networks, samples: Samples, config: TrainConfig, wan: FullSize | None) -> Latents:
    """Encode the samples, shared out among the ranks, and read all of them."""
    digest = hashlib.sha256()
    for name, value in sorted(networks.vae.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
    key = {"vae": digest.hexdigest()[:16], "mean": networks.vae.config.latents_mean}
    if wan:
        key |= {"wan": wan.identity, "overlap": networks.spec.overlap}
    folder, ranks = run.folder / "latents", run.ranks

    def encoded(done: int, total: int) -> None:
        if run.progress is not None:
            run.progress(run.step, run.total, f"encoding {done}/{total}")

    if run.leads:
        open_cache(folder, side=config.resolution, key=key)
    meet(ranks)
    # Wan's VAE stays in fp32, as when it samples.
    with torch.autocast(networks.device.type, torch.bfloat16, enabled=config.precision == "bf16" and not wan):
        cache_latents(networks, samples.part(ranks.rank, ranks.world), folder, side=config.resolution,
                      progress=encoded, workers=_drawers(), tokens=wan.tokens() if wan else None)  # fmt: skip
    meet(ranks)
    return Latents([folder / path.name for path in samples.paths])


def _train_transformer(
    run: Run, networks: Networks, samples: Samples, latents: Latents, grey: Tensor, config: TrainConfig, *, first: int,
    whole: bool,
) -> None:  # fmt: skip
    """Train the transformer; checkpoints hold a whole generator, or the adapter alone."""
    spec, device, shift = networks.spec, run.ranks.device, config.shift if whole else networks.shift
    patch, base = {}, ""
    if not whole:
        patch = {adapter.PATCH: networks.transformer.patch_embedding.weight.detach().to("cpu", copy=True)}
        base = adapter.fingerprint(networks.transformer.state_dict()) if run.leads else ""
    if config.method == "lora":
        adapter.attach(networks.transformer, rank=config.rank)

    def draw(step: int, group: int) -> tuple[Batch, Tensor, Tensor]:
        rng = np.random.default_rng([config.seed, 1, step, group])
        layout = draw_layout(rng, temporal=config.temporal, aligned=config.aligned)
        batch = latents.draw(rng, size=config.batch, layout=layout, warp=config.warp, fill=spec.cond_fill, grey=grey,
                             tail=spec.tail_latents, device=device)  # fmt: skip
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        times = draw_times(config.batch, shift=shift, generator=generator)
        return batch, times, draw_noise(batch, generator)

    def write(folder: Path, averaged: dict[str, Tensor]) -> None:
        if config.method == "lora":
            adapter.export(folder / "lora", averaged | patch, networks.transformer, spec=asdict(spec),
                           rank=config.rank, base_sha256=base)  # fmt: skip
            averaged = adapter.fused(averaged) if whole else {}
        if whole:
            _write(folder, networks, transformer=averaged)

    def look(checkpoint: Path) -> None:
        if config.pictures:
            draw_sheet(load(checkpoint, device), samples[0], config.resolution,
                       run.folder / "pictures" / f"{checkpoint.name}.png")  # fmt: skip

    recipe = _recipe(config, config.steps, config.lr)
    with Ahead(draw, steps=AHEAD, workers=_drawers()) as drawn:

        def loss_at(step: int, group: int) -> Tensor:
            return flow_loss(networks, *drawn(step, group))

        run.descend("transformer", networks.transformer, loss_at, recipe, first=first, write=write, look=look,
                    frozen=whole)  # fmt: skip


def _drawers() -> int:
    """Return how many threads draw data: what a small machine can spare is one."""
    return max(1, min(8, len(os.sched_getaffinity(0)) // 2))


def _recipe(config: TrainConfig, steps: int, lr: float) -> Recipe:
    return Recipe(
        lr=lr, steps=steps, warmup=config.warmup, accumulate=config.accumulate, ema=config.ema,
        precision=config.precision, zero=config.zero, gradient_checkpointing=config.gradient_checkpointing,
    )  # fmt: skip


def _write(folder: Path, networks: Networks, **states: dict[str, Tensor]) -> None:
    """Write a generator with other weights for the networks named."""
    for name in ("transformer", "vae"):
        network = getattr(networks, name)
        save_network(folder / name, network, states.get(name) or network.state_dict())
    save_spec(folder, networks.spec)


def _build(config: TrainConfig, samples: Samples) -> Networks:
    spec = Spec(
        resolution=config.resolution, window=samples.window, overlap=config.overlap, prediction=config.prediction,
        cond_fill=config.cond_fill, detail=config.detail, steps=config.sampling_steps, shift=config.shift,
    )  # fmt: skip
    return build(
        spec, heads=config.heads, head_width=config.head_width, layers=config.layers, vae_width=config.vae_width,
        seed=config.seed,
    )  # fmt: skip
