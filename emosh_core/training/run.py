"""A training run on disk and the loop over its steps, whatever is trained.

A run folder holds `config.json`, `metrics.jsonl` (one line per step) and `checkpoints/`. Phases that
follow each other, each with its own optimiser, share one step count.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from emosh_core.durable import durable_file
from emosh_core.generate.models import Networks
from emosh_core.training.checkpoint import (
    check_same,
    checkpoint_path,
    load_checkpoint,
    newest_checkpoint,
    restore_optimiser,
    save_checkpoint,
)

WARMUP = 10
"""Steps over which each phase raises its learning rate to the full one."""


@dataclass
class Run:
    """A run in progress."""

    folder: Path
    identity: dict
    """The settings and the data that make this run this run; stored with each checkpoint."""
    networks: Networks
    step: int
    checkpoint_every: int
    total: int
    """Steps of all phases."""
    progress: Callable[[int, int], None] | None = None

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint of the present step lies, if one is due."""
        return checkpoint_path(self.folder, self.step)

    def descend(
        self,
        parameters: Iterable[torch.nn.Parameter],
        loss_at: Callable[[int], Tensor],
        *,
        lr: float,
        first: int,
        last: int,
    ) -> list[float]:
        """Train one phase: AdamW on `loss_at(step)` for the steps from `first`, or where the run is, to `last`.

        Returns:
            The loss of each step taken.
        """
        parameters = list(parameters)
        optimiser = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.95), weight_decay=0.01)
        if first < self.step < last:
            restore_optimiser(self.checkpoint, optimiser)
        losses = []
        while self.step < last:
            begun = time.perf_counter()
            for group in optimiser.param_groups:
                group["lr"] = lr * min(1.0, (self.step - first + 1) / WARMUP)
            loss = loss_at(self.step)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            losses.append(loss.item())
            seconds = time.perf_counter() - begun
            self._log(
                {"step": self.step, "loss": losses[-1], "lr": optimiser.param_groups[0]["lr"], "seconds": seconds}
            )
            self.step += 1
            if self.step % self.checkpoint_every == 0 or self.step == last:
                save_checkpoint(self.folder, self.step, self.networks, optimiser, self.identity)
            if self.progress is not None:
                self.progress(self.step, self.total)
        return losses

    def _log(self, values: dict) -> None:
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(values) + "\n")


def open_run(
    folder: Path, identity: dict, *, build: Callable[[], Networks], device, may_change: set[str], **loop
) -> Run:
    """Start a run, or continue the newest checkpoint of `folder`.

    Args:
        identity: settings and data; a checkpoint of other ones is refused.
        build: makes the networks of a fresh run.
        may_change: keys of `identity` that a continued run may have otherwise.
        loop: the remaining fields of `Run`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    newest = newest_checkpoint(folder)
    if newest is None:
        networks, step = build().to(device), 0
    else:
        networks, step, stored = load_checkpoint(newest, device)
        check_same(stored, identity, except_for=may_change)
    with durable_file(folder / "config.json") as path:
        path.write_text(json.dumps(identity, indent=2) + "\n")
    _forget_from(folder / "metrics.jsonl", step)
    return Run(folder, identity, networks, step, **loop)


def _forget_from(path: Path, step: int) -> None:
    """Drop the lines of steps that a killed run took after its last checkpoint; they will be taken again."""
    lines = path.read_text().splitlines() if path.is_file() else []
    with durable_file(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines if _step_of(line) < step))


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except ValueError:  # the line that a kill cut short
        return float("inf")
