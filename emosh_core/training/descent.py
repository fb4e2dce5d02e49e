"""How a phase of training descends: learning rate, AdamW, and the average of the weights on the way."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

STATES = ("exp_avg", "exp_avg_sq", "ema")
"""What the optimiser keeps beside each parameter, in its shape."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a phase descends."""

    lr: float
    """Highest learning rate."""
    steps: int
    """Steps of the phase."""
    warmup: int = 10
    """Steps over which the learning rate rises linearly."""
    floor: float = 0.02
    """Share of `lr` at which the cosine ends, with the last step."""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient over all parameters."""
    accumulate: int = 1
    """Micro-batches per rank and step."""
    ema: float = 0.999
    """Decay of the averaged weights per step, in the long run."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 computes under autocast; weights, moments and average are fp32 all the same."""
    zero: Literal[0, 1, 2, 3] = 0
    """ZeRO stage: 1 shards moments and average over the ranks, 2 gradients too, 3 weights too; 0 is one process."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass, where the network can: less memory, more time."""


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the learning rate of a step, counted from 0: linear warm-up, then a cosine to the floor."""
    done = step + 1
    if done <= recipe.warmup:
        return recipe.lr * done / recipe.warmup
    share = min(1.0, (done - recipe.warmup) / max(1, recipe.steps - recipe.warmup))
    return recipe.lr * (recipe.floor + (1 - recipe.floor) * (1 + math.cos(math.pi * share)) / 2)


def ema_decay(recipe: Recipe, step: int) -> float:
    """Return how much of the average a step keeps: little at first, while the average knows little."""
    return min(recipe.ema, (step + 1) / (step + 10))


class AveragingAdamW(torch.optim.AdamW):
    """AdamW that also keeps `ema`, the running average of each tensor it steps, among its state.

    There the average is sharded as the moments are, under every ZeRO stage.
    """

    decay: float
    """Share of the average that the next step keeps."""

    @torch.no_grad()
    def allocate(self, tensors: Iterable[Tensor]) -> None:
        """Make the state that the first step would make, with the present values as average."""
        for tensor in tensors:
            state = {"exp_avg": torch.zeros_like(tensor), "exp_avg_sq": torch.zeros_like(tensor)}
            self.state[tensor] |= {"step": torch.tensor(0.0), **state, "ema": tensor.detach().clone()}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Step, then move the average."""
        super().step()
        tensors = [tensor for group in self.param_groups for tensor in group["params"]]
        torch._foreach_lerp_([self.state[tensor]["ema"] for tensor in tensors], tensors, 1 - self.decay)


def averaging_adamw(parameters: Iterable[nn.Parameter], recipe: Recipe) -> AveragingAdamW:
    """Return the optimiser of a recipe."""
    return AveragingAdamW(list(parameters), lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay)
