"""What a generator makes at a checkpoint, for people to look at."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from emosh_core.durable import durable_file
from emosh_core.generate.diffusion import add_detail, trust_in_preview
from emosh_core.generate.layout import Conditions
from emosh_core.generate.models import Networks
from emosh_core.generate.pixels import Letterbox, to_frames, to_tensor
from emosh_core.generate.profiles import profile_of
from emosh_core.generate.sampling import sample
from emosh_core.image_io import write_image
from emosh_core.settings import AnimateConfig
from emosh_core.training.samples import PICTURES, StoredSample

COLUMNS = 4


@torch.no_grad()
def draw_sheet(networks: Networks, shown: StoredSample, side: int, path: Path) -> None:
    """Write a picture: rows of truth, condition, preview and what is made, at a few moments; the reference first.

    Args:
        shown: its first window is made again.
        side: of the pictures [px].
        path: a PNG.
    """
    count, full = shown.shape[1:3]
    everything = (slice(0, full), slice(0, full))
    letterbox = Letterbox(full, full, side)
    pictures = {
        name: np.stack([letterbox.fit(frame) for frame in shown.read(name, 0, slice(0, count), everything)])
        for name in PICTURES
    }
    reference = letterbox.fit(shown.reference)
    made = make_again(networks, pictures, reference)
    moments = np.linspace(0, count - 1, COLUMNS).round().astype(int)
    rows = [np.concatenate(list(frames[moments]), 1) for frames in [*pictures.values(), made]]
    first = np.zeros((len(rows) * side, side, 3), np.uint8)
    first[:side] = reference
    with durable_file(path) as temporary:
        final = temporary.with_suffix(".png")
        write_image(final, np.concatenate([first, np.concatenate(rows)], 1))
        final.rename(temporary)


def make_again(networks: Networks, pictures: dict[str, np.ndarray], reference: np.ndarray) -> np.ndarray:
    """Generate a window (n, R, R, 3) uint8 from its condition and preview pictures and a reference (R, R, 3)."""
    encoded = {name: networks.encode(to_tensor(pictures[name])[None]) for name in ("cond", "preview")}
    reference_latent = networks.encode(to_tensor(reference[None])[None])
    spec = replace(networks.spec, resolution=reference.shape[0], window=len(pictures["cond"]))
    networks = replace(networks, spec=spec)
    fills = {"preview": lambda: encoded["preview"], "reference": lambda: reference_latent.expand_as(encoded["cond"]),
             "paste": networks.grey_latents, "animate": networks.grey_latents}  # fmt: skip
    conditions = Conditions(
        reference_latent=reference_latent, motion_latents=encoded["cond"], fill=fills[spec.cond_fill]()
    )
    video = networks.decode(sample(networks, conditions, profile_of(AnimateConfig()), seed=0))[0].cpu()
    if spec.detail:
        base = networks.decode(encoded["preview"])[0].cpu()
        trust = (torch.from_numpy(part) for part in trust_in_preview(video, base))
        video = add_detail(to_tensor(pictures["preview"]), video, base, *trust)
    return np.rint(255 * to_frames(video)).astype(np.uint8)
