"""A small descent that tests run in their own process and, as a program, in processes of its own.

    python engine_worker.py FOLDER NETWORK STEPS RECIPE_JSON [DIE_AFTER]

continues from the newest save in FOLDER, saves after every second step, and writes losses there.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from emosh_core.training.descent import Recipe
from emosh_core.training.engine import Engine, join_ranks, leave_ranks, make_engine

LossAt = Callable[[int, int], Callable[[], Tensor]]


def layers() -> tuple[nn.Module, LossAt]:
    """Return layers of odd widths, one of them frozen, and the loss of sample group (step, group)."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7), nn.SiLU(), nn.Linear(7, 7), nn.SiLU(), nn.Linear(7, 3))
    module[2].requires_grad_(False)

    def loss_at(step: int, group: int) -> Callable[[], Tensor]:
        generator = torch.Generator().manual_seed(1000 * step + group)
        given = torch.randn(4, 5, generator=generator)
        wanted = given.sum(1, keepdim=True).sin()
        return lambda: 3 * (module(given) - wanted).square().mean()

    return module, loss_at


def wan() -> tuple[nn.Module, LossAt]:
    """Return a Wan transformer of two blocks with a frozen text embedder, and its loss, as `layers` does."""
    from emosh_core.generate.models import Spec, build

    spec = Spec(resolution=32, window=5, overlap=1, prediction="velocity")
    networks = build(spec, heads=2, head_width=12, layers=2, vae_width=4, seed=0)
    networks.transformer.condition_embedder.text_embedder.requires_grad_(False)

    def loss_at(step: int, group: int) -> Callable[[], Tensor]:
        generator = torch.Generator().manual_seed(1000 * step + group)
        zt, channels = (torch.randn(1, n, 2, 4, 4, generator=generator) for n in (16, 37))
        return lambda: (networks.velocity(zt, torch.tensor([0.3]), channels) - zt).square().mean()

    return networks.transformer, loss_at


NETWORKS = {"layers": layers, "wan": wan}


def descend(engine: Engine, loss_at: LossAt, until: int) -> list[float]:
    """Step until that many steps are taken; return the mean loss of each."""
    count, losses = engine.recipe.accumulate, []
    while engine.steps < until:
        groups = [engine.rank * count + m for m in range(count)]
        losses.append(engine.step([loss_at(engine.steps, group) for group in groups]))
    return losses


def main(folder: Path, network: str, steps: int, recipe: dict, die_after: int | None) -> None:
    join_ranks()
    module, loss_at = NETWORKS[network]()
    engine = make_engine(module, Recipe(**recipe))
    saves = sorted(folder.glob("step_*"))
    if saves:
        engine.restore(saves[-1])
    losses = {}
    while engine.steps < steps:
        losses[engine.steps] = descend(engine, loss_at, engine.steps + 1)[0]
        if engine.steps == die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        if engine.steps % 2 == 0:
            save = folder / f"step_{engine.steps:03d}"
            if engine.rank == 0:
                save.mkdir()
            engine.save(save)
    weights, average = engine.weights(), engine.ema_weights()
    if engine.rank == 0:
        torch.save({"weights": weights, "average": average}, folder / "end.pt")
        (folder / "losses.json").write_text(json.dumps(losses))
    leave_ranks()


if __name__ == "__main__":
    where, which, count, settings, *death = sys.argv[1:]
    main(Path(where), which, int(count), json.loads(settings), int(death[0]) if death else None)
