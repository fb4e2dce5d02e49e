"""The diffusion generator: samples chunks with the networks of a training run."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from emosh_core.artifacts import Cond
from emosh_core.errors import AssetError
from emosh_core.generate import parallel
from emosh_core.generate.assemble import load_folder
from emosh_core.generate.cost import workloads
from emosh_core.generate.generator import Chunk, Generator, Reference
from emosh_core.generate.layout import Conditions, latent_count, pin_positions
from emosh_core.generate.memory import guarded
from emosh_core.generate.models import Networks
from emosh_core.generate.pixels import Letterbox, rows, to_frames, to_tensor
from emosh_core.generate.profiles import profile_of
from emosh_core.generate.sampling import sample
from emosh_core.settings import AnimateConfig


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


ALIGNED = {"aligned_latent", "aligned_motion"}
"""What of `Conditions` a chunk leaves to the next one."""
UNSURE = 0.1
"""Change (0..1, blurred) that is taken for the sampling's own noise: what changes less stays as the preview has it."""
DETAIL_LOST = 0.25
"""Change (0..1, blurred) at which little of the preview's own detail is kept: there it shows something else."""
FADE = 5
"""Frames after which nothing is left of a difference between two chunks at their join."""
AROUND_PERSON = 0.05
"""Share of the square's side around the fitted body in which hair, clothes and outlines may be missing."""
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
        self._networks, self._cond, self._config = networks, cond, config
        side = networks.spec.resolution
        self._profile = profile_of(config)
        self.workload = workloads(networks, self._profile, passes=2 if config.guidance > 1 else 1)
        self._grey: Tensor | None = None
        self._letterbox = Letterbox(*cond.frames.shape[1:3], side)
        picture = Letterbox(*reference.image.shape[:2], side).fit(reference.image)
        self._reference_latent = networks.encode(to_tensor(picture[None])[None])
        self._preview = preview if networks.spec.shows_preview else None
        if networks.spec.shows_preview and preview is None:
            raise ValueError(f"{name} was trained with the preview's pictures and needs a preview generator")

    @classmethod
    def from_folder(
        cls, folder: Path, cond: Cond, reference: Reference, config: AnimateConfig, *, name: str,
        preview: Callable[[], Generator], loras: Sequence[tuple[Path, float]] = (), device: str = "cpu",
    ) -> "DiffusionGenerator":  # fmt: skip
        """Load the networks of a folder; `preview` makes the preview generator if they are shown one."""
        return cls.from_networks(load_folder(folder, config, loras, device), cond, reference, config, name=name,
                                 preview=preview)  # fmt: skip

    @classmethod
    def from_networks(
        cls, networks: Networks, cond: Cond, reference: Reference, config: AnimateConfig, *, name: str,
        preview: Callable[[], Generator],
    ) -> "DiffusionGenerator":  # fmt: skip
        """Take networks that are prepared; `preview` makes the preview generator if they are shown one."""
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
        if frames == self.window:
            return
        if self._networks.spec.rope == "pinned":
            pin_positions(self._networks.transformer, latent_count(frames))
        self._networks = replace(self._networks, spec=replace(self._networks.spec, window=frames))
        self.window = frames

    def generate(self, indices: np.ndarray, *, seed: int, state: dict[str, np.ndarray]) -> Chunk:
        """Make one chunk; see `Generator.generate`. The state holds fp32 tail frames and the aligned latent.

        Raises:
            DeviceError: there is too little memory.
        """
        with guarded(self._networks, self._profile):
            return self._generate(indices, seed, state)

    def _generate(self, indices: np.ndarray, seed: int, state: dict[str, np.ndarray]) -> Chunk:
        networks = self._networks
        shown = None if self._preview is None else self._preview.generate(indices, seed=seed, state={}).frames
        hands_latents = networks.spec.handover == "latents"
        tail = torch.from_numpy(state["tail"])[None] if state and hands_latents else None
        given = {name: torch.from_numpy(state[name])[None].to(networks.device) for name in ALIGNED & state.keys()}
        fill = self._fill(shown, tail)
        conditions = Conditions(
            reference_latent=self._reference_latent,
            motion_latents=networks.encode(to_tensor(self._squares(rows(self._cond.frames, indices)))[None]),
            fill=fill,
            temporal_latents=None if tail is None else networks.encode(tail),
            **given,
        )
        latents = sample(networks, conditions, self._profile, seed=seed, guidance=self._config.guidance)
        video = networks.decode(latents)[0].cpu()
        if networks.spec.detail:
            base = networks.decode(fill)[0].cpu()
            share, keep = trust_in_preview(video, base)
            near = self._near_person(indices)
            share, keep = share * near, 1 - near * (1 - keep)
            parts = zip(shown, to_frames(video), to_frames(base), share, keep)
            frames = np.stack([self._add_detail(*part) for part in parts])
            small = 2 * torch.from_numpy(self._squares(shown)).movedim(-1, 0) - 1
            video = add_detail(small, video, base, torch.from_numpy(share), torch.from_numpy(keep)).clamp(-1, 1)
        else:
            frames = np.stack([self._letterbox.unfit(frame) for frame in to_frames(video)])
        if state and not hands_latents:
            self._fade(frames, video, torch.from_numpy(state["tail"]))
        anchor = self._anchor(latents, video, conditions, indices, state)
        return Chunk(
            frames=frames,
            latents=latents[0].movedim(0, 1).cpu().numpy(),
            state={"tail": video[:, -self.overlap :].numpy()} | anchor,
        )

    def _near_person(self, indices: np.ndarray) -> np.ndarray:
        """Return what of the squares (n, R, R) is the person or close by: elsewhere there is nothing to mend."""
        masks = 255 * rows(self._cond.mask, indices)[..., None].repeat(3, -1).astype(np.uint8)
        reach = AROUND_PERSON * self._letterbox.resolution
        apart = [cv2.distanceTransform((square[..., 0] == 0).astype(np.uint8), cv2.DIST_L2, 3)
                 for square in self._squares(masks)]  # fmt: skip
        return (np.stack(apart) <= reach).astype(np.float32)

    def _fade(self, frames: np.ndarray, video: Tensor, tail: Tensor) -> None:
        """Let the first new frames, as both `frames` and `video` hold them, begin where the previous chunk ended."""
        last = self.overlap - 1
        step = tail[:, -1] - video[:, last]
        large = self._letterbox.unfit(step.movedim(0, -1).numpy()) / 2
        for k in range(1, FADE):
            share, t = 1 - k / FADE, last + k
            video[:, t] = (video[:, t] + share * step).clamp(-1, 1)
            frames[t] = (frames[t] + share * large).clip(0, 1)

    def _anchor(
        self, latents: Tensor, video: Tensor, conditions: Conditions, indices: np.ndarray, state: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return what of a chunk the next one's aligned latent is, and the motion of that moment if it is given."""
        spec = self._networks.spec
        if spec.anchor == "none" or spec.handover == "fade":
            return {}
        if spec.anchor == "first" and state:
            return {name: state[name] for name in ALIGNED & state.keys()}
        # The first latent of a window is its first frame alone: the VAE is causal.
        aligned, motion = latents[:, :, :1], conditions.motion_latents[:, :, :1]
        if spec.anchor == "prev-new" and state:
            new = self.overlap
            aligned = self._networks.encode(video[None, :, new : new + 1])
            motion = self._networks.encode(to_tensor(self._squares([self._cond.frames[indices[new]]]))[None])
        kept = {"aligned_latent": aligned} | ({"aligned_motion": motion} if spec.aligned_motion == "own" else {})
        return {name: value[0].cpu().numpy() for name, value in kept.items()}

    def _squares(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        return np.stack([self._letterbox.fit(frame) for frame in frames])

    def _fill(self, shown: np.ndarray | None, tail: Tensor | None) -> Tensor:
        """Return the condition (1, C, F, H, W) of latent frames to be made."""
        networks, how = self._networks, self._networks.spec.cond_fill
        if how == "preview":
            return networks.encode(2 * torch.from_numpy(self._squares(shown)).movedim(-1, 0)[None] - 1)
        if how == "animate" and tail is not None:
            grey = tail.new_zeros(*tail.shape[:2], self.window - self.overlap, *tail.shape[3:])
            return networks.encode(torch.cat([tail, grey], 2))
        grey = networks.grey_latents() if self._grey is None else self._grey
        self._grey = grey
        return self._reference_latent.expand_as(grey) if how == "reference" else grey

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
