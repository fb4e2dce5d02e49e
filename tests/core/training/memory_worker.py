"""Count what the engine really holds at the moment it steps; prints one JSON line per ZeRO stage and method.

Run as `torchrun memory_worker.py STAGE...`, or as it is for stage 0.
"""

import gc
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[3]))

from emosh_core.generate.models import Spec, build
from emosh_core.settings import TrainConfig
from emosh_core.training import adapter
from emosh_core.training.descent import Recipe
from emosh_core.training.engine import leave_ranks, make_engine
from emosh_core.training.memory import Layout, memory_of, sizes_of


def tiny():
    spec = Spec(resolution=32, window=9, overlap=5, prediction="velocity")
    return build(spec, heads=6, head_width=64, layers=2, vae_width=8, seed=0)


def held() -> int:
    """Return the bytes behind all tensors there are."""
    gc.collect()
    found = {}
    for thing in gc.get_objects():
        if type(thing) in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
            for tensor in (thing, thing.grad if thing.is_leaf else None):
                if tensor is not None:
                    storage = tensor.untyped_storage()
                    found[storage.data_ptr()] = storage.nbytes()
    return sum(found.values())


def count(zero: int, method: str) -> dict:
    before, networks = held(), tiny()
    config = TrainConfig(base="runs/x", method=method, rank=32, resolution=32, batch=1, zero=zero)
    sizes = sizes_of(networks, config)
    transformer = networks.transformer
    if method == "lora":
        adapter.attach(transformer, rank=config.rank)
    trained = sum(p.numel() for p in transformer.parameters() if p.requires_grad)
    engine = make_engine(transformer.train(), Recipe(lr=1e-3, steps=5, zero=zero))

    def loss():
        hidden = torch.zeros(1, 53, 3, 4, 4)
        context = torch.zeros(1, 1, 64)
        return transformer(hidden, timestep=torch.zeros(1), encoder_hidden_states=context, return_dict=False)[0].mean()

    engine.step([loss])
    step, seen = engine.optimiser.step, []
    engine.optimiser.step = lambda *a, **k: (seen.append(held()), step(*a, **k))
    engine.step([loss])
    layout = Layout(method=method, precision="fp32", zero=zero, ranks=engine.world)
    return {"zero": zero, "method": method, "ranks": engine.world, "measured": seen[0] - before,
            "predicted": memory_of(sizes, layout).held, "trained": [sizes.trained, trained]}  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    for stage in map(int, sys.argv[1:]):
        for method in ("full", "lora"):
            print(json.dumps(count(stage, method)), flush=True)
    leave_ranks()
