"""The diffusion generator: samples chunks with the networks of a training run."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emosh_core.artifacts import Cond
from emosh_core.errors import AssetError
from emosh_core.generate.animate import AnimateConfig
from emosh_core.generate.flow_matching import euler_step, sampling_times
from emosh_core.generate.generator import Chunk, Reference
from emosh_core.generate.layout import Conditions
from emosh_core.generate.models import Networks, load
from emosh_core.generate.pixels import Letterbox, to_frames, to_tensor


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


class DiffusionGenerator:
    """Makes the chunks of one target from the condition pictures and one reference.

    Frames come out at the size of the condition pictures; the network itself works on squares of
    `networks.spec.resolution` pixels, so that is all the detail there is.
    """

    def __init__(self, networks: Networks, cond: Cond, reference: Reference, config: AnimateConfig, *, name: str):
        """Take loaded networks; see `from_run` for a training run.

        Args:
            cond: condition pictures (T, H, W, 3) of the target.
            reference: the person to show.
            config: steps, shift and solver of the sampling.
            name: what `Clip.generator` records.
        """
        self.name = name
        self.window, self.overlap = networks.spec.window, networks.spec.overlap
        self._networks, self._cond, self._config = networks, cond, config
        side = networks.spec.resolution
        self._letterbox = Letterbox(*cond.frames.shape[1:3], side)
        picture = Letterbox(*reference.image.shape[:2], side).fit(reference.image)
        self._reference_latent = networks.encode(to_tensor(picture[None])[None])
        self._fill = networks.grey_latents()

    @classmethod
    def from_run(cls, run_dir: Path, cond: Cond, reference: Reference, config: AnimateConfig, *, device: str = "cpu"):
        """Load the newest checkpoint of a training run."""
        checkpoint = latest_checkpoint(run_dir)
        return cls(load(checkpoint, device), cond, reference, config, name=f"{run_dir.name}/{checkpoint.name}")

    def generate(self, indices: np.ndarray, *, seed: int, state: dict[str, np.ndarray]) -> Chunk:
        """Make one chunk; see `Generator.generate`. The state holds fp32 tail frames and the aligned latent."""
        networks = self._networks
        pictures = np.stack([self._letterbox.fit(self._cond.frames[i]) for i in indices])
        conditions = Conditions(
            reference_latent=self._reference_latent,
            motion_latents=networks.encode(to_tensor(pictures)[None]),
            fill=self._fill,
        )
        if state:
            conditions = replace(
                conditions,
                temporal_latents=networks.encode(torch.from_numpy(state["tail"])[None]),
                aligned_latent=torch.from_numpy(state["aligned"])[None].to(networks.device),
            )
        latents = sample(networks, conditions, self._config, seed=seed)
        video = networks.decode(latents)[0]
        return Chunk(
            frames=np.stack([self._letterbox.unfit(frame) for frame in to_frames(video)]),
            latents=latents[0].movedim(0, 1).cpu().numpy(),
            state={
                "tail": video[:, -self.overlap :].cpu().numpy(),
                "aligned": latents[0, :, :1].cpu().numpy(),
            },
        )


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
    final = solve(field, noise, steps=config.steps, shift=config.shift)
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
