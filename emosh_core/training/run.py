"""A training run on disk and the loop over its steps, whatever is trained.

A run folder holds `config.json`, `metrics.jsonl` (one line per step; the same for TensorBoard, where that is
installed) and `checkpoints/`. Phases that follow each other, each with its own optimiser, share one step count.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emosh_core.durable import durable_file
from emosh_core.training.checkpoint import check_same, newest_checkpoint, read_state, save_checkpoint
from emosh_core.training.descent import Recipe, learning_rate
from emosh_core.training.engine import Engine, Ranks, make_engine


@dataclass(kw_only=True)
class Run:
    """A run in progress, on one rank."""

    folder: Path
    identity: dict
    """The settings and the data that make this run this run; stored with each checkpoint."""
    ranks: Ranks
    total: int
    """Steps of all phases."""
    checkpoint_every: int
    until: float = float("inf")
    """`time.monotonic()` at which to stop, with a checkpoint."""
    progress: Callable[[int, int, str], None] | None = None
    """Called with (steps done, steps in all, how it goes)."""
    newest: Path | None = None
    """The newest checkpoint."""
    step: int = 0
    losses: list[float] = field(default_factory=list)
    """Of the steps of this call, all phases."""
    board: Any = None

    @property
    def leads(self) -> bool:
        """Whether this rank writes."""
        return self.ranks.rank == 0

    @property
    def stopped(self) -> bool:
        """Whether time was up before the last step."""
        return self.step < self.total and time.monotonic() > self.until

    def descend(
        self, name: str, module: nn.Module, loss_at: Callable[[int, int], Tensor], recipe: Recipe, *, first: int,
        write: Callable[[Path, dict[str, Tensor]], None], look: Callable[[Path], None] | None = None,
        frozen: bool = True,
    ) -> None:  # fmt: skip
        """Take the steps from `first`, or where the run is, that a recipe has.

        Args:
            name: of the phase.
            loss_at: computes the loss of (step, micro-batch over all ranks) by way of the module.
            write: writes the generator of a checkpoint from the average of the module's weights.
            look: called with each new checkpoint that is due for a look.
            frozen: whether `write` is also given the weights that are not trained.
        """
        last = first + recipe.steps
        if self.step >= last:
            return
        engine = make_engine(module.train(), recipe)
        if self.step > first:
            engine.restore(self.newest / "engine")
        while self.step < last:
            begun = time.perf_counter()
            groups = range(engine.rank * recipe.accumulate, (engine.rank + 1) * recipe.accumulate)
            loss = engine.step([partial(loss_at, self.step, group) for group in groups])
            seconds = time.perf_counter() - begun
            self._log(name, loss, learning_rate(recipe, self.step - first), seconds)
            self.step += 1
            if self.step % self.checkpoint_every == 0 or self.step == last or self.stopped:
                self._keep(engine, write, frozen)
                if look and self.leads:
                    look(self.newest)
            if self.progress is not None:
                self.progress(self.step, self.total, f"{name}, loss {loss:.4f}, {seconds:.2g} s/step")
            if self.stopped:  # asked after a step, so that every call gets on, however long its preparations took
                break
        module.eval()

    def _keep(self, engine: Engine, write: Callable[[Path, dict[str, Tensor]], None], frozen: bool) -> None:
        averaged = engine.ema_weights(frozen=frozen)
        state = {"step": self.step, "config": self.identity}
        self.newest = save_checkpoint(
            self.folder, state, engine, (lambda folder: write(folder, averaged)) if self.leads else None
        )

    def _log(self, name: str, loss: float, lr: float, seconds: float) -> None:
        self.losses.append(loss)
        if not self.leads:
            return
        values = {"step": self.step, "phase": name, "loss": loss, "lr": lr, "seconds": seconds}
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(values) + "\n")
        if self.board is not None:
            for key in ("loss", "lr", "seconds"):
                self.board.add_scalar(f"{name}/{key}", values[key], self.step)


def open_run(folder: Path, identity: dict, *, ranks: Ranks, may_change: set[str], **loop) -> Run:
    """Start a run, or continue the newest checkpoint of `folder`.

    Args:
        identity: settings and data; a checkpoint of other ones is refused.
        may_change: keys of `identity` that a continued run may have otherwise.
        loop: the remaining fields of `Run`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    newest, step = newest_checkpoint(folder, tidy=ranks.rank == 0), 0
    if newest is not None:
        state = read_state(newest)
        step = state["step"]
        check_same(state["config"], identity, except_for=may_change)
    run = Run(folder=folder, identity=identity, ranks=ranks, newest=newest, step=step, **loop)
    if run.leads:
        with durable_file(folder / "config.json") as path:
            path.write_text(json.dumps(identity, indent=2) + "\n")
        _forget_from(folder / "metrics.jsonl", step)
        run.board = _board(folder / "tensorboard", step)
    return run


def meet(ranks: Ranks) -> None:
    """Wait until every rank is here."""
    if ranks.world > 1:
        torch.distributed.barrier()


def _board(folder: Path, step: int) -> Any:
    """Return TensorBoard's writer, None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step)


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
