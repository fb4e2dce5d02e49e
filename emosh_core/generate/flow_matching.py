"""Flow matching: the equations and nothing else.

z0 is the clean latent, z1 noise, t in [0, 1] the time; z_t = (1 − t) z0 + t z1 moves with the
velocity z1 − z0. The network may predict the velocity or z0; the loss is always in velocity space.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

VELOCITY_FLOOR = 0.1
"""Smallest t [1] that a predicted z0 is divided by; it also bounds the loss weight of small t."""


def broadcast(t: Tensor, like: Tensor) -> Tensor:
    """Give times (B,) the trailing axes of a latent (B, ...)."""
    return t.reshape(-1, *[1] * (like.ndim - 1)).to(like)


def interpolate(z0: Tensor, z1: Tensor, t: Tensor) -> Tensor:
    """Return z_t = (1 − t) z0 + t z1 for latents (B, ...) and times (B,)."""
    t = broadcast(t, z0)
    return (1 - t) * z0 + t * z1


def velocity(z0: Tensor, z1: Tensor) -> Tensor:
    """Return the velocity z1 − z0 that carries z_t along its straight path."""
    return z1 - z0


def velocity_from_z0(zt: Tensor, z0: Tensor, t: Tensor) -> Tensor:
    """Turn a predicted clean latent into the velocity (z_t − z0) / max(t, VELOCITY_FLOOR)."""
    return (zt - z0) / broadcast(t, zt).clamp(min=VELOCITY_FLOOR)


def masked_loss(predicted: Tensor, target: Tensor, slots: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error over some latent frames.

    Args:
        predicted, target: (B, C, L, H, W) velocities.
        slots: (L,) bool, the latent frames that count.
        weight: (B, 1, L, H, W), how much each place counts; alike by default.
    """
    error = (predicted[:, :, slots].float() - target[:, :, slots].float()).square().mean(1, keepdim=True)
    if weight is None:
        return error.mean()
    weight = weight[:, :, slots].float()
    return (error * weight).sum() / weight.sum()


def shift_time(t: Tensor, shift: float) -> Tensor:
    """Move times towards noise: shift·t / (1 + (shift − 1)·t)."""
    return shift * t / (1 + (shift - 1) * t)


def draw_times(count: int, *, shift: float, generator: torch.Generator) -> Tensor:
    """Draw training times (count,): logit-normal, then shifted."""
    return shift_time(torch.sigmoid(torch.randn(count, generator=generator)), shift)


def sampling_times(steps: int, *, shift: float, sigmas: Sequence[float] = ()) -> Tensor:
    """Return the times (steps + 1,) of a sampling run, from 1 to 0.

    Args:
        sigmas: where to stop, before the shift; as many as there are steps. By default evenly spaced.
    """
    even = torch.linspace(1, 1 / steps, steps, dtype=torch.float64)
    times = shift_time(torch.tensor(sigmas, dtype=torch.float64) if sigmas else even, shift)
    return torch.cat([times, times.new_zeros(1)]).float()


def euler_step(zt: Tensor, velocity: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
    """Go from t to t_next along a velocity."""
    return zt + (t_next - t) * velocity
