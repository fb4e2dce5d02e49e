"""Order, masks and channels of a chunk's latent frames; the same for every size of Wan model.

    first chunk : [R][n0 n1 ... n(F−1)]
    later ones  : [R][S][T0 T1][n2 ... n(F−1)]      training may leave out S

R is the reference, S the spatially aligned latent, T the tail frames of the previous chunk and n the
latent frames to be made; T and n together are the F latent frames of the clip. Each latent frame
enters the network as 3C + 5 channels (53 for C = 16):

    z_t (C) | mask (4) | condition (C) | motion (C) | motion flag (1)

Conditioned frames (R, S, T) carry mask 1, their own latent as condition and no loss. R and S have no
motion and flag 0, so that the motion embedding, its bias included, leaves them alone; S may be given
the motion of its own moment instead.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

MASK_CHANNELS = 4


def latent_count(frames: int) -> int:
    """Return how many latent frames the causal VAE makes of 4k + 1 pixel frames."""
    if frames % 4 != 1:
        raise ValueError(f"the VAE takes 4k + 1 frames, not {frames}: it would drop the rest without a word")
    return 1 + (frames - 1) // 4


def model_channels(latent_channels: int) -> int:
    """Return the number of input channels of the transformer."""
    return 3 * latent_channels + MASK_CHANNELS + 1


def latent_mask(frame_mask: Tensor) -> Tensor:
    """Fold a mask over pixel frames (4k + 1,) into (4, k + 1); the first frame fills its latent alone."""
    latent_count(len(frame_mask))
    return torch.cat([frame_mask[:1].repeat(MASK_CHANNELS), frame_mask[1:]]).reshape(-1, MASK_CHANNELS).T


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a chunk is made from, as normalised latents with C channels on an H × W grid."""

    reference_latent: Tensor
    """(B, C, 1, H, W)"""
    motion_latents: Tensor
    """(B, C, F, H, W), the condition pictures of the whole window."""
    fill: Tensor
    """(1 or B, C, F, H, W), the condition where there is nothing to show: encoded grey frames."""
    temporal_latents: Tensor | None = None
    """(B, C, 2, H, W), the overlap with the previous chunk; None for the first."""
    aligned_latent: Tensor | None = None
    """(B, C, 1, H, W), the spatially aligned latent; None without one."""
    aligned_motion: Tensor | None = None
    """(B, C, 1, H, W), the condition picture of the aligned latent's moment; None gives it no motion."""

    @property
    def clip(self) -> slice:
        """Where the F latent frames of the clip lie in the sequence."""
        start = 1 if self.aligned_latent is None else 2
        return slice(start, start + self.motion_latents.shape[2])

    @property
    def conditioned(self) -> Tensor:
        """(L,) bool: latent frames that are given; the others are made and carry the loss."""
        given = torch.zeros(self.clip.stop, dtype=torch.bool, device=self.motion_latents.device)
        given[: self.clip.start + (0 if self.temporal_latents is None else self.temporal_latents.shape[2])] = True
        return given

    def sequence(self, clip_latents: Tensor) -> Tensor:
        """Put clip latents (B, C, F, H, W) behind R and S, with T in place: (B, C, L, H, W)."""
        if self.temporal_latents is not None:
            clip_latents = torch.cat([self.temporal_latents, clip_latents[:, :, self.temporal_latents.shape[2] :]], 2)
        head = [self.reference_latent] + ([] if self.aligned_latent is None else [self.aligned_latent])
        return torch.cat([*head, clip_latents], 2)

    def channels(self) -> Tensor:
        """Return all but the noisy channels: mask, condition, motion, flag as (B, 2C + 5, L, H, W)."""
        condition = self.sequence(self.fill.expand_as(self.motion_latents))
        mask = condition.new_zeros(len(condition), MASK_CHANNELS, *condition.shape[2:])
        mask[:, :, self.conditioned] = 1
        motion = torch.zeros_like(condition)
        motion[:, :, self.clip] = self.motion_latents
        flag = torch.zeros_like(condition[:, :1])
        flag[:, :, self.clip] = 1
        if self.aligned_latent is not None and self.aligned_motion is not None:
            motion[:, :, 1:2] = self.aligned_motion
            flag[:, :, 1] = 1
        return torch.cat([mask, condition, motion, flag], 1)

    def pin(self, predicted: Tensor, clean: Tensor, noise: Tensor) -> Tensor:
        """Replace the velocity of the conditioned frames by the true one.

        Whatever the solver, z_t on R, S and T then follows (1 − t) z_c + t z_1, as in training, and
        ends at z_c; where z_1 is z_c itself it stays there.

        Args:
            predicted, clean, noise: (B, C, L, H, W) velocity, `sequence(...)` and z_1.
        """
        return torch.where(self.conditioned[:, None, None], noise - clean, predicted)


def pin_positions(transformer: torch.nn.Module, clip_latents: int) -> None:
    """Give S the position behind the clip, so that it moves no other latent frame of the sequence.

    Args:
        transformer: diffusers' WanTransformer3DModel; the positions of sequences without S stay.
        clip_latents: F.
    """

    def move(rope: torch.nn.Module, inputs: tuple[Tensor, ...], tables: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        count = inputs[0].shape[2]
        if count != clip_latents + 2:
            return tables
        order = [0, count - 1, *range(1, count - 1)]
        return tuple(table.unflatten(1, (count, -1))[:, order].flatten(1, 2) for table in tables)

    transformer.rope.register_forward_hook(move)
