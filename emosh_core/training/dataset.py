"""From a condition artifact and its clip to training batches, encoded once."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emosh_core.artifacts import Cond
from emosh_core.errors import ArtifactError
from emosh_core.generate.chunks import zigzag
from emosh_core.generate.layout import Conditions
from emosh_core.generate.models import Networks
from emosh_core.generate.pixels import Letterbox, to_tensor
from emosh_core.training.augment import warp_reference


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """A clip and its condition pictures at the run's resolution R."""

    rgb: np.ndarray
    """(T, R, R, 3) uint8"""
    cond: np.ndarray
    """(T, R, R, 3) uint8"""
    valid: np.ndarray
    """(T,) bool, frames in which the person was tracked; only these may be references."""
    fps: float


def load_pixels(cond: Cond, frames: Iterable[np.ndarray], resolution: int) -> Pixels:
    """Shrink a clip and its condition pictures, frame by frame.

    Args:
        cond: T condition pictures.
        frames: the T frames (H, W, 3) uint8 RGB that they were made from.
        resolution: side of the square [px].
    """
    rgb = np.stack([Letterbox(*frame.shape[:2], resolution).fit(frame) for frame in frames])
    if len(rgb) != len(cond.frames):
        raise ArtifactError(
            "the clip and its condition pictures differ in length",
            found=f"{len(rgb)} frames and {len(cond.frames)} condition pictures",
            fix="run `emosh render-cond --force` on the motion of this clip",
        )
    letterbox = Letterbox(*cond.frames.shape[1:3], resolution)
    pictures = np.stack([letterbox.fit(frame) for frame in cond.frames])
    return Pixels(rgb=rgb, cond=pictures, valid=np.asarray(cond.valid), fps=float(cond.fps))


@dataclass(frozen=True, kw_only=True)
class LatentCache:
    """Every training window of a clip, encoded; N windows of F latent frames."""

    starts: np.ndarray
    """(N,) first frame of each window."""
    clips: Tensor
    """(N, C, F, H, W)"""
    motions: Tensor
    """(N, C, F, H, W)"""
    fill: Tensor
    """(1, C, F, H, W), encoded grey."""


def window_starts(frame_count: int, window: int, stride: int) -> np.ndarray:
    """Return where training windows begin; the last one ends with the clip where it is long enough."""
    last = max(0, frame_count - window)
    return np.unique(np.append(np.arange(0, last, stride), last))


def encode_windows(networks: Networks, pixels: Pixels, *, stride: int) -> LatentCache:
    """Encode all windows of a clip and of its condition pictures; short clips turn back at their end."""
    window = networks.spec.window
    starts = window_starts(len(pixels.rgb), window, stride)
    indices = [zigzag(np.arange(start, start + window), len(pixels.rgb)) for start in starts]

    def encode(video: np.ndarray) -> Tensor:
        return torch.cat([networks.encode(to_tensor(video[index])[None]) for index in indices])

    return LatentCache(
        starts=starts, clips=encode(pixels.rgb), motions=encode(pixels.cond), fill=networks.grey_latents()
    )


def reference_candidates(valid: np.ndarray, start: int, window: int, gap: int) -> np.ndarray:
    """Return the frames that may be a window's reference, from another moment where the clip has one.

    At least `gap` frames away, else outside the window, else any; tracked frames only, if there are.
    """
    frames = np.flatnonzero(valid) if valid.any() else np.arange(len(valid))
    for margin in (gap, 0):
        away = frames[(frames < start - margin) | (frames >= start + window + margin)]
        if len(away):
            return away
    return frames


def draw_batch(
    networks: Networks,
    cache: LatentCache,
    pixels: Pixels,
    rng: np.random.Generator,
    *,
    size: int,
    layout: tuple[bool, bool],
    warp: float,
) -> tuple[Conditions, Tensor]:
    """Draw windows with a reference each.

    Args:
        size: B.
        layout: (temporal latents, aligned latent) as `draw_layout` returns it.
        warp: probability that a reference is warped.

    Returns:
        The conditions and the clean clip latents (B, C, F, H, W).
    """
    window, overlap = networks.spec.window, networks.spec.overlap
    chosen = rng.integers(len(cache.starts), size=size)
    references, aligned = [], []
    for start in cache.starts[chosen]:
        image = pixels.rgb[rng.choice(reference_candidates(pixels.valid, start, window, round(pixels.fps)))]
        references.append(warp_reference(image, rng) if rng.random() < warp else image)
        # What the chunk before would begin with; the clip's own beginning where there is none.
        aligned.append(pixels.rgb[max(0, start - (window - overlap))])
    clips = cache.clips[chosen]
    has_temporal, has_aligned = layout
    conditions = Conditions(
        reference_latent=networks.encode(_stills(references)),
        motion_latents=cache.motions[chosen],
        fill=cache.fill,
        # The VAE is causal: the first latents of a window are those of its first frames alone.
        temporal_latents=clips[:, :, : 1 + (overlap - 1) // 4] if has_temporal else None,
        aligned_latent=networks.encode(_stills(aligned)) if has_aligned else None,
    )
    return conditions, clips


def _stills(images: list[np.ndarray]) -> Tensor:
    return to_tensor(np.stack(images)[:, None])
