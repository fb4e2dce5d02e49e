"""`emosh train` as `torchrun` launches it: two processes on one run do what one process does."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(400),  # a launch is seconds, but minutes where other work fills the machine
    pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs the train extra"),
]

TINY = (
    "base=scratch", "method=full", "steps=3", "vae_steps=2", "resolution=32", "layers=1", "heads=1", "vae_width=8",
    "window=5", "overlap=1", "batch=1", "filter=false", "sampling_steps=1", "warmup=1", "pictures=false",
)  # fmt: skip


def losses(workspace, name):
    lines = (workspace / "runs" / name / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.parametrize("zero", [2, 3])
def test_two_processes_train_as_one_does_with_twice_the_batch(tracked, emosh_here, zero):
    settings = [part for pair in TINY for part in ("--set", pair)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "emosh_cli"]
    command = [sys.executable, *launcher, "train", str(tracked / "ws"), "--name", "two", *settings]
    done = subprocess.run(
        [*command, "--set", f"zero={zero}", "--json"], capture_output=True, text=True, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["step"] == 5  # one object, of the first process alone
    alone = emosh_here("train", tracked / "ws", "--name", "one", *settings, "--set", "accumulate=2", "--json")
    assert alone.code == 0, alone.err
    assert losses(tracked / "ws", "two") == pytest.approx(losses(tracked / "ws", "one"), abs=1e-4)
