"""Training of a small VAE on the frames, condition pictures and previews that it will have to encode."""


import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from emosh_core.generate.models import Networks
from emosh_core.generate.pixels import to_tensor
from emosh_core.training.samples import Samples

LENGTHS = {1: 0.35, 5: 0.65}
"""Frames per training clip, and how often: stills as references are, and clips as tails are; longer teach little."""
SOURCES = {"frames": 0.6, "cond": 0.25, "preview": 0.15}
"""Which pictures a clip shows, and how often."""
SHRUNK = 0.25
"""Share of clips that show the whole picture made smaller instead of a part of it at full size."""
DETAIL, BODY = 4.0, 2.0
"""Weight of face and hands, and of the rest of the person; the background has 1."""
STRUCTURE, EDGES, SPREAD = 0.5, 0.5, 1e-6
"""Weights of 1 − SSIM, of the edges' absolute error, and of the latents' mean square; the absolute error has 1."""


def decode_unclamped(vae: torch.nn.Module, latents: Tensor) -> Tensor:
    """Decode as `vae.decode` does but without its clamp, which would stop the gradient of saturated pixels."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

    vae.clear_cache()
    hidden = vae.post_quant_conv(latents)
    frames = []
    for i in range(hidden.shape[2]):
        vae._conv_idx = [0]
        first = {"first_chunk": True} if i == 0 else {}
        step = hidden[:, :, i : i + 1]
        frames.append(vae.decoder(step, feat_cache=vae._feat_map, feat_idx=vae._conv_idx, **first))
    vae.clear_cache()
    video = torch.cat(frames, 2)
    return video if vae.config.patch_size is None else unpatchify(video, patch_size=vae.config.patch_size)


def draw_length(samples: Samples, rng: np.random.Generator) -> int:
    """Draw how many frames a step's clips have; one step, one length, for stills leave the layers of time unused."""
    lengths = {n: share for n, share in LENGTHS.items() if n <= samples.window}
    return int(rng.choice(list(lengths), p=np.array(list(lengths.values())) / sum(lengths.values())))


def draw_clips(
    samples: Samples, rng: np.random.Generator, *, size: int, length: int, side: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Draw clips.

    Args:
        size: B, clips of several frames; of stills four times as many, which cost as much.
        length: n, frames.
        side: S, side of the clips [px].
        device: where they are wanted.

    Returns:
        (B, 3, n, S, S) in [−1, 1] and the weight of each pixel (B, 1, n, S, S).
    """
    clips = [_draw_clip(samples, rng, length, side) for _ in range(size * (1 if length > 1 else 4))]
    pictures, weights = (np.stack(part) for part in zip(*clips))
    return to_tensor(pictures, device), torch.from_numpy(weights)[:, None].to(device)


def _draw_clip(samples: Samples, rng: np.random.Generator, length: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures (n, S, S, 3) and weights (n, S, S)."""
    sample = samples[int(rng.integers(len(samples)))]
    source = str(rng.choice(list(SOURCES), p=list(SOURCES.values())))
    window, start = int(rng.integers(sample.windows)), int(rng.integers(samples.window - length + 1))
    times = slice(start, start + length)
    whole = samples.side <= side or rng.random() < SHRUNK
    corner = np.zeros(2, int) if whole else rng.integers(0, samples.side - side + 1, 2)
    part = tuple(slice(int(c), int(c) + (samples.side if whole else side)) for c in corner)
    pictures = sample.read(source, window, times, part)
    weights = weigh(sample.read("cond", window, times, part), sample.boxes(window, times), part)
    if pictures.shape[1] != side:
        pictures = np.stack([cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in pictures])
        weights = np.stack([cv2.resize(weight, (side, side), interpolation=cv2.INTER_AREA) for weight in weights])
    return pictures, weights


def weigh(cond: np.ndarray, boxes: np.ndarray, part: tuple[slice, slice]) -> np.ndarray:
    """Return how much each pixel of a part of some pictures counts (n, h, w) float32.

    Args:
        cond: (n, h, w, 3) the condition pictures' part: black where the person is not.
        boxes: (n, D, 4) x0, y0, x1, y1 [px] of face and hands in the whole picture.
        part: rows and columns.
    """
    drawn = cond[..., 0] | cond[..., 1] | cond[..., 2]  # twenty times as fast as any() over an axis of three
    weights = np.where(drawn, np.float32(BODY), np.float32(1.0))
    offset = np.array([part[1].start, part[0].start] * 2)
    for weight, row in zip(weights, (boxes - offset).clip(0)):
        for x0, y0, x1, y1 in row:
            weight[y0:y1, x0:x1] = DETAIL
    return weights


def reconstruction_loss(vae: torch.nn.Module, video: Tensor, weight: Tensor) -> Tensor:
    """Return the loss of a video (B, 3, 4k + 1, S, S) with pixel weights (B, 1, 4k + 1, S, S) after a round trip."""
    latents = vae.encode(video).latent_dist.mode()
    made = decode_unclamped(vae, latents).float()
    error = ((made - video).abs() * weight).sum() / (3 * weight.sum())
    a, b = (clip.movedim(2, 1).flatten(0, 1) for clip in (made, video))
    weights = weight.movedim(2, 1).flatten(0, 1)
    edges = sum(
        ((a.diff(dim=axis) - b.diff(dim=axis)).abs() * weights.narrow(axis, 1, a.shape[axis] - 1)).mean()
        for axis in (2, 3)
    ) / weights.mean()
    structure = ((1 - similarity(a, b)) * avg_pool2d(weights, 7, 2)).mean() / weights.mean()
    return error + EDGES * edges + STRUCTURE * structure + SPREAD * latents.float().square().mean()


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return the structural similarity of pictures (N, C, H, W) in [−1, 1], in 7 × 7 boxes two pixels apart.

    Wang et al. 2004 with a box in place of the Gaussian: cheap, and only trained on.
    """
    mean_a, mean_b = avg_pool2d(a, 7, 2), avg_pool2d(b, 7, 2)
    var_a, var_b = avg_pool2d(a * a, 7, 2) - mean_a**2, avg_pool2d(b * b, 7, 2) - mean_b**2
    covariance = avg_pool2d(a * b, 7, 2) - mean_a * mean_b
    c1, c2 = (2 * 0.01) ** 2, (2 * 0.03) ** 2
    return (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))


@torch.no_grad()
def normalise(networks: Networks, samples: Samples, *, clips: int = 32) -> None:
    """Store the mean and spread of frames' latents, per channel, in the VAE's configuration.

    Args:
        samples: whose first clips are measured.
        clips: how many.
    """
    zeros, ones = [0.0] * networks.vae.config.z_dim, [1.0] * networks.vae.config.z_dim
    networks.vae.register_to_config(latents_mean=zeros, latents_std=ones)
    everything = slice(0, samples.side)
    values = []
    for i in range(min(clips, len(samples))):
        frames = samples[i].read("frames", 0, slice(0, samples.window), (everything, everything))
        values.append(networks.encode(to_tensor(frames)[None]).movedim(1, 0).flatten(1).double())
    values = torch.cat(values, 1)
    networks.vae.register_to_config(
        latents_mean=values.mean(1).tolist(), latents_std=values.std(1).clamp(min=1e-3).tolist()
    )
