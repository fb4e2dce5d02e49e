"""The diffusion generator: samples chunks with the networks of a training run."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from emosh_core.artifacts import Cond
from emosh_core.errors import AssetError
from emosh_core.generate import parallel
from emosh_core.generate.animate import AnimateConfig
from emosh_core.generate.cost import workloads
from emosh_core.generate.flow_matching import euler_step, sampling_times
from emosh_core.generate.generator import Chunk, Generator, Reference
from emosh_core.generate.layout import Conditions
from emosh_core.generate.models import Networks, load
from emosh_core.generate.pixels import Letterbox, rows, to_frames, to_tensor


def latest_checkpoint(run_dir: Path) -> Path:
    """Return the newest checkpoint of a training run."""
    found = sorted(run_dir.glob("checkpoints/step_*"))
    if not found:
        raise AssetError(
            f"{run_dir} holds no checkpoint of a trained generator",
            found="an empty or missing checkpoints/ folder",
            fix='train one with `emosh train`, or animate with generator = "preview"',
        )
    return found[-1]


UNSURE = 0.04
"""Change (0..1, blurred) that is taken for the sampling's own noise: what changes less stays as the preview has it."""
DETAIL_LOST = 0.25
"""Change (0..1, blurred) at which little of the preview's own detail is kept: there it shows something else."""
DETAIL_BLUR = 0.008
"""Spread of that blur, as a share of the square's side."""


class DiffusionGenerator:
    """Makes the chunks of one target from the condition pictures and one reference.

    Frames come out at the size of the condition pictures; the network itself works on squares of
    `networks.spec.resolution` pixels, so that is all the detail there is, but for what `Spec.detail`
    takes over from the preview.
    """

    def __init__(
        self, networks: Networks, cond: Cond, reference: Reference, config: AnimateConfig, *, name: str,
        preview: Generator | None = None,
    ):  # fmt: skip
        """Take loaded networks; see `from_run` for a training run.

        Args:
            cond: condition pictures (T, H, W, 3) of the target; may lie on disk, each chunk reads its own.
            reference: the person to show.
            config: steps, shift and solver of the sampling.
            name: what `Clip.generator` records.
            preview: draws the same target and reference at H × W; only for networks that are shown it.
        """
        self.name = name
        self.window, self.overlap = networks.spec.window, networks.spec.overlap
        self.workload = workloads(networks, config.steps)
        self._networks, self._cond, self._config = networks, cond, config
        side = networks.spec.resolution
        self._letterbox = Letterbox(*cond.frames.shape[1:3], side)
        picture = Letterbox(*reference.image.shape[:2], side).fit(reference.image)
        self._reference_latent = networks.encode(to_tensor(picture[None])[None])
        self._preview = preview if networks.spec.shows_preview else None
        if networks.spec.shows_preview and preview is None:
            raise ValueError(f"{name} was trained with the preview's pictures and needs a preview generator")

    @classmethod
    def from_folder(
        cls, folder: Path, cond: Cond, reference: Reference, config: AnimateConfig, *, name: str,
        preview: Callable[[], Generator], device: str = "cpu",
    ) -> "DiffusionGenerator":  # fmt: skip
        """Load the networks of a folder; `preview` makes the preview generator if they are shown one."""
        networks = load(folder, device)
        shown = preview() if networks.spec.shows_preview else None
        return cls(networks, cond, reference, config, name=name, preview=shown)

    def split(self, gpus: int) -> None:
        """Split each forward pass among GPUs, one process each; see `emosh_core.generate.parallel`."""
        transformer, tokens = self._networks.transformer, [self.workload(self.window, k).tokens for k in (False, True)]
        parallel.check_context(gpus, heads=transformer.config.num_attention_heads, tokens=tokens)
        parallel.lead(transformer)
        parallel.split(transformer, gpus)

    def use_window(self, frames: int) -> None:
        """Make chunks of 4k + 1 frames, whatever the networks were trained on."""
        self._networks = replace(self._networks, spec=replace(self._networks.spec, window=frames))
        self.window = frames

    def generate(self, indices: np.ndarray, *, seed: int, state: dict[str, np.ndarray]) -> Chunk:
        """Make one chunk; see `Generator.generate`. The state holds fp32 tail frames and the aligned latent."""
        networks = self._networks
        shown = None if self._preview is None else self._preview.generate(indices, seed=seed, state={}).frames
        fill = self._fill(shown)
        conditions = Conditions(
            reference_latent=self._reference_latent,
            motion_latents=networks.encode(to_tensor(self._squares(rows(self._cond.frames, indices)))[None]),
            fill=fill,
        )
        if state:
            conditions = replace(
                conditions,
                temporal_latents=networks.encode(torch.from_numpy(state["tail"])[None]),
                aligned_latent=torch.from_numpy(state["aligned"])[None].to(networks.device),
            )
        latents = sample(networks, conditions, self._config, seed=seed)
        video = networks.decode(latents)[0].cpu()
        if networks.spec.detail:
            base = networks.decode(fill)[0].cpu()
            share, keep = trust_in_preview(video, base)
            parts = zip(shown, to_frames(video), to_frames(base), share, keep)
            frames = np.stack([self._add_detail(*part) for part in parts])
            small = 2 * torch.from_numpy(self._squares(shown)).movedim(-1, 0) - 1
            video = add_detail(small, video, base, torch.from_numpy(share), torch.from_numpy(keep)).clamp(-1, 1)
        else:
            frames = np.stack([self._letterbox.unfit(frame) for frame in to_frames(video)])
        return Chunk(
            frames=frames,
            latents=latents[0].movedim(0, 1).cpu().numpy(),
            state={"tail": video[:, -self.overlap :].numpy(), "aligned": latents[0, :, :1].cpu().numpy()},
        )

    def _squares(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        return np.stack([self._letterbox.fit(frame) for frame in frames])

    def _fill(self, shown: np.ndarray | None) -> Tensor:
        """Return the condition (1, C, F, H, W) of latent frames to be made."""
        if self._networks.spec.cond_fill == "preview":
            return self._networks.encode(2 * torch.from_numpy(self._squares(shown)).movedim(-1, 0)[None] - 1)
        grey = self._networks.grey_latents()
        return grey if self._networks.spec.cond_fill == "paste" else self._reference_latent.expand_as(grey)

    def _add_detail(self, shown: np.ndarray, *small: np.ndarray) -> np.ndarray:
        """Return a frame (H, W, 3) of the preview's picture (H, W, 3) and of what `add_detail` takes besides, small."""
        made, base, share, keep = (self._letterbox.unfit(part) for part in small)
        return add_detail(shown, made, base, share[..., None], keep[..., None]).clip(0, 1)


def trust_in_preview(video: Tensor, base: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Say where a clip differs from the preview enough to be believed, and where so much that nothing else is.

    Args:
        video: (3, T, R, R) in [−1, 1], the decoded clip.
        base: (3, T, R, R), the preview's pictures after a round trip through the VAE.

    Returns:
        Share of the change that is made (T, R, R), and of the preview's detail that is kept, both in [0, 1].
    """
    change = (video - base).abs().mean(0).numpy() / 2
    spread = DETAIL_BLUR * change.shape[-1]
    change = np.stack([gaussian_filter(frame, spread) for frame in change])
    return 1 - np.exp(-((change / UNSURE) ** 2)), np.exp(-((change / DETAIL_LOST) ** 2))


def add_detail(shown, made, base, share, keep):
    """Return pictures with the preview's detail, arrays or tensors alike.

    The VAE loses the same of clip and preview; what the preview's round trip lost is known, and added again.

    Args:
        shown, made, base: the preview's pictures, the decoded clip, and the preview's after a round trip.
        share, keep: of `trust_in_preview`.
    """
    return base + share * (made - base) + keep * (shown - base)


@torch.no_grad()
def sample(networks: Networks, conditions: Conditions, config: AnimateConfig, *, seed: int) -> Tensor:
    """Integrate from noise to the clip latents (1, C, F, H, W) of one chunk."""
    clean = conditions.sequence(torch.zeros_like(conditions.motion_latents))
    channels = conditions.channels()
    # Drawn on the CPU, so that a seed means the same on every device.
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed)).to(clean)

    def field(zt: Tensor, t: Tensor) -> Tensor:
        return conditions.pin(networks.velocity(zt, t.expand(len(zt)).to(zt), channels), clean, noise)

    solve = solve_euler if config.solver == "euler" else solve_unipc
    spec = networks.spec
    final = solve(field, noise, steps=config.steps or spec.steps, shift=config.shift or spec.shift)
    # The solver ends on the given latents up to rounding; the decoder gets them exactly.
    return conditions.sequence(final[:, :, conditions.clip])[:, :, conditions.clip]


def solve_euler(field, noise: Tensor, *, steps: int, shift: float) -> Tensor:
    """Integrate `field(zt, t)` from t = 1 to 0 with Euler's method."""
    times = sampling_times(steps, shift=shift)
    zt = noise
    for t, t_next in pairwise(times):
        zt = euler_step(zt, field(zt, t), t, t_next)
    return zt


def solve_unipc(field, noise: Tensor, *, steps: int, shift: float) -> Tensor:
    """Integrate `field(zt, t)` from t = 1 to 0 with diffusers' UniPC multistep solver."""
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    scheduler.set_timesteps(steps)
    zt = noise
    for timestep, t in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        zt = scheduler.step(field(zt, t), timestep, zt, return_dict=False)[0]
    return zt
