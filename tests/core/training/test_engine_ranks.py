"""The engine over two processes: ZeRO computes what one process does, and continues after a kill."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import engine_worker
import pytest
import torch
from engine_worker import NETWORKS, descend

from emosh_core.training.descent import Recipe
from emosh_core.training.engine import make_engine

pytestmark = [
    pytest.mark.timeout(400),  # a launch is seconds, but minutes where other work fills the machine
    pytest.mark.e2e,
    pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs the train extra"),
]

RECIPE = {"lr": 1e-2, "steps": 6, "warmup": 2, "gradient_checkpointing": True}


def launch(folder, network, zero, *death):
    """Run two ranks to step 6, or to their death after a step."""
    folder.mkdir(exist_ok=True)
    recipe = json.dumps(RECIPE | {"zero": zero})
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launcher, engine_worker.__file__, str(folder), network, "6", recipe, *map(str, death)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=180)


def result(folder):
    losses = json.loads((folder / "losses.json").read_text())
    return list(losses.values()), torch.load(folder / "end.pt", weights_only=True)


@pytest.fixture(scope="module", params=[(2, "layers"), (3, "wan")], ids=["zero2-layers", "zero3-wan"])
def pair(request, tmp_path_factory):
    """Return stage, network, and the folder of two ranks that nothing interrupted."""
    zero, network = request.param
    folder = tmp_path_factory.mktemp("ranks") / "straight"
    done = launch(folder, network, zero)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return zero, network, folder


def one_process(network):
    module, loss_at = NETWORKS[network]()
    return make_engine(module, Recipe(**RECIPE | {"accumulate": 2})), loss_at


def check_same(engine, losses, folder):
    want, end = result(folder)
    assert losses == pytest.approx(want[-len(losses) :], abs=1e-4)
    for got, kind in ((engine.weights(), "weights"), (engine.ema_weights(), "average")):
        assert got.keys() == end[kind].keys()
        # Moments near 0 turn a rounding difference into a step of another sign, hence not 1e-6.
        assert all(torch.allclose(value, end[kind][name], atol=1e-3) for name, value in got.items())


def test_two_ranks_do_what_one_does_with_twice_the_micro_batches(pair):
    _, network, folder = pair
    engine, loss_at = one_process(network)
    before = engine.weights()
    check_same(engine, descend(engine, loss_at, 6), folder)
    end = result(folder)[1]["weights"]
    frozen = before.keys() - engine.trained.keys()
    assert frozen and all(torch.equal(end[name], before[name]) for name in frozen)


def test_one_process_continues_from_what_two_ranks_saved(pair):
    _, network, folder = pair
    engine, loss_at = one_process(network)
    engine.restore(folder / "step_002")
    check_same(engine, descend(engine, loss_at, 6), folder)


def test_ranks_continue_on_the_same_curve(pair):
    zero, network, straight = pair
    folder = straight.parent / "continued"
    if zero == 3:  # killed after a step that was not saved
        assert launch(folder, network, zero, 5).returncode != 0
    else:
        for name in ("step_002", "step_004"):
            shutil.copytree(straight / name, folder / name)
    assert [path.name for path in sorted(folder.iterdir())] == ["step_002", "step_004"]
    done = launch(folder, network, zero)
    assert done.returncode == 0, done.stderr
    (losses, end), (want, want_end) = result(folder), result(straight)
    assert losses == want[4:]
    for kind in end:
        assert all(torch.equal(value, want_end[kind][name]) for name, value in end[kind].items())
