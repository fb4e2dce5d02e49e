"""Samples as latents: encoded once, kept on disk beside the run, drawn from in memory."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from emosh_core.durable import durable_file, sweep
from emosh_core.errors import ConfigError
from emosh_core.generate.layout import Conditions, latent_count
from emosh_core.generate.models import Networks
from emosh_core.generate.pixels import to_tensor
from emosh_core.training.ahead import Ahead
from emosh_core.training.augment import warp_reference
from emosh_core.training.autoencoder import weigh
from emosh_core.training.samples import PICTURES, Samples, StoredSample

WARPED = 3
"""References per sample besides the clean one."""
PIXELS = 1 << 24
"""How many are encoded at once, or one window."""
TOKENS = "encoder_hidden_states_image"
"""The transformer's argument for picture tokens, and what they are called in a cached sample."""
BY_REFERENCE = {"reference", TOKENS}
"""What of a cached sample there is for each reference; the rest there is for each window."""


def open_cache(folder: Path, *, side: int, key: dict) -> None:
    """Make a folder ready for latents; of several processes one does that, before any of them writes.

    Args:
        side: of the pictures [px].
        key: what decides about the latents besides the samples' names; a folder holds those of one key.

    Raises:
        ConfigError: the folder holds those of another key.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    stamp = folder / "latents.json"
    key = key | {"side": side}
    if stamp.is_file() and json.loads(stamp.read_text()) != key:
        fix = f"delete {folder}, or start another run"
        raise ConfigError("the cached latents are another VAE's", found=stamp.read_text().strip(), fix=fix)
    with durable_file(stamp) as temporary:
        temporary.write_text(json.dumps(key))


def cache_latents(
    networks: Networks, samples: Samples, folder: Path, *, side: int, workers: int = 1,
    progress: Callable[[int, int], None] | None = None, tokens: Callable[[np.ndarray], Tensor] | None = None,
) -> list[Path]:  # fmt: skip
    """Encode samples that an open cache does not hold yet; one file each, so that a killed run goes on where it was.

    Args:
        side: of the pictures [px]; larger ones are made smaller first.
        workers: threads that read samples ahead.
        progress: called with (samples done, samples).
        tokens: encodes pictures (N, S, S, 3) uint8 to picture tokens (N, tokens, width), for transformers that take
            those of the reference.
    """
    paths = [folder / path.name for path in samples.paths]
    missing = [number for number, path in enumerate(paths) if not path.is_file()]
    names = tuple(name for name in PICTURES if name != "preview" or networks.spec.cond_fill == "preview")

    def draw(turn: int, _: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        return read(samples[missing[turn]], side, names)

    with Ahead(draw, steps=2, workers=workers, end=len(missing)) as reads:
        for turn, number in enumerate(missing):
            with durable_file(paths[number]) as temporary:
                save_file(encode(networks, *reads(turn, 0), tokens), temporary)
            if progress:
                progress(len(paths) - len(missing) + turn + 1, len(paths))
    return paths


def read(
    sample: StoredSample, side: int, names: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Read what a sample shows.

    Args:
        names: some of PICTURES.

    Returns:
        Pictures (W, n, S, S, 3) uint8 by name, references (1 + WARPED, S, S, 3) and the weights of the sample's
        pixels (W, n, R, R).
    """
    windows, count, full = sample.shape[:3]
    everything, times = (slice(0, full), slice(0, full)), slice(0, count)
    pictures = {name: [sample.read(name, window, times, everything) for window in range(windows)] for name in names}
    weights = [weigh(cond, sample.boxes(window, times), everything) for window, cond in enumerate(pictures["cond"])]
    rng = np.random.default_rng(int.from_bytes(sample.path.stem.encode()[-6:]))
    picture = _shrink(sample.reference[None], side)[0]
    references = np.stack([picture] + [warp_reference(picture, rng) for _ in range(WARPED)])
    small = {name: np.stack([_shrink(frames, side) for frames in rows]) for name, rows in pictures.items()}
    return small, references, np.stack(weights)


def encode(
    networks: Networks, pictures: dict[str, np.ndarray], references: np.ndarray, weights: np.ndarray,
    tokens: Callable[[np.ndarray], Tensor] | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Return the latents of what `read` returned as float16, windows first: W windows of F latents, an h × w grid.

    Returns:
        frames, cond, preview (W, C, F, h, w), the last where `read` was asked for it; weight (W, 1, F, h, w);
        reference (1 + WARPED, C, 1, h, w), and with `tokens` its TOKENS (1 + WARPED, tokens, width). For the fill
        `animate` also continued (W, C, F, h, w): a window's first frames and grey ones behind them, in one pass.
    """
    values = {name: _encode(networks, frames) for name, frames in pictures.items()}
    if networks.spec.cond_fill == "animate":
        values["continued"] = _encode(networks, pictures["frames"], given=networks.spec.overlap)
    values["reference"] = _encode(networks, references[:, None])
    values["weight"] = torch.stack([_pool(row, values["frames"].shape) for row in weights])
    if tokens is not None:
        values[TOKENS] = tokens(references)
    return {name: value.half().cpu().contiguous() for name, value in values.items()}


def _encode(networks: Networks, windows: np.ndarray, *, given: int | None = None) -> Tensor:
    """Encode windows (W, n, S, S, 3), so many at a time that memory lasts; frames from `given` on are made grey."""
    count, latents = max(1, PIXELS // windows[0, ..., 0].size), []
    for start in range(0, len(windows), count):
        video = to_tensor(windows[start : start + count], networks.device)
        if given is not None:
            video[:, :, given:] = 0
        latents.append(networks.encode(video))
    return torch.cat(latents)


def _shrink(frames: np.ndarray, side: int) -> np.ndarray:
    if frames.shape[1] == side:
        return frames
    return np.stack([cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in frames])


def _pool(weights: np.ndarray, shape: torch.Size) -> Tensor:
    """Turn weights of pixels (n, R, R) into those of latents (1, F, h, w): the mean over what a latent shows."""
    small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(weights)[None], tuple(shape[-2:]))[0]
    rest = small[1:].reshape(latent_count(len(small)) - 1, 4, *small.shape[1:]).mean(1)
    return torch.cat([small[:1], rest])[None]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one training step sees."""

    conditions: Conditions
    clips: Tensor
    """(B, C, F, h, w) clean latents."""
    weight: Tensor
    """(B, 1, F, h, w), how much each place counts."""
    context: Mapping[str, Tensor] = field(default_factory=dict)
    """What the transformer is told besides that differs between samples, as `Networks.context`: picture tokens."""


class Latents:
    """Cached samples in memory."""

    def __init__(self, paths: list[Path]):
        self._samples = [load_file(path) for path in paths]

    def __len__(self) -> int:
        return len(self._samples)

    def draw(
        self, rng: np.random.Generator, *, size: int, layout: tuple[bool, bool], warp: float, fill: str, grey: Tensor,
        tail: int, device: torch.device,
    ) -> Batch:  # fmt: skip
        """Draw windows with a reference each.

        Args:
            size: B.
            layout: (temporal latents, aligned latent) as `draw_layout` returns it.
            warp: probability that a reference is warped.
            fill: `Spec.cond_fill`.
            grey: (1, C, F, h, w) encoded grey frames.
            tail: latent frames that two chunks share.
        """
        rows = [self._one(rng, warp) for _ in range(size)]
        columns = {name: torch.stack([row[name].float() for row in rows]).to(device) for name in rows[0]}
        clips = columns["frames"]
        has_temporal, has_aligned = layout
        fills = {"paste": lambda: grey.to(device), "preview": lambda: columns["preview"],
                 "reference": lambda: columns["reference"].expand_as(clips),
                 "animate": lambda: columns["continued"] if has_temporal else grey.to(device)}  # fmt: skip
        conditions = Conditions(
            reference_latent=columns["reference"],
            motion_latents=columns["cond"],
            fill=fills[fill](),
            # The VAE is causal: the first latents of a window are those of its first frames alone.
            temporal_latents=clips[:, :, :tail] if has_temporal else None,
            aligned_latent=columns["aligned"] if has_aligned else None,
        )
        context = {TOKENS: columns[TOKENS]} if TOKENS in columns else {}
        return Batch(conditions=conditions, clips=clips, weight=columns["weight"], context=context)

    def _one(self, rng: np.random.Generator, warp: float) -> dict[str, Tensor]:
        sample = self._samples[int(rng.integers(len(self._samples)))]
        windows = len(sample["frames"])
        window = int(rng.integers(windows))
        # What another window of the clip begins with stands for what the chunk before begins with.
        other = int((window + rng.integers(1, windows)) % windows) if windows > 1 else window
        reference = int(rng.integers(1, 1 + WARPED)) if rng.random() < warp else 0
        row = {name: value[reference if name in BY_REFERENCE else window] for name, value in sample.items()}
        return row | {"aligned": sample["frames"][other][:, :1]}
