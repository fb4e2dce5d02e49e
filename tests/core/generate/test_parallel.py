"""Forward passes on several GPUs: what is refused, and that the processes compute the same passes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from emosh_core.errors import ConfigError, DeviceError
from emosh_core.generate import parallel
from emosh_core.generate.models import wan_classes
from emosh_core.settings import AnimateConfig

WAN = {"heads": 40, "tokens": (21_504, 22_528)}


def test_the_setting_names_a_number_of_gpus():
    assert [AnimateConfig(parallel=text).gpus for text in ("", "context:1", "context:8")] == [1, 1, 8]
    for wrong in ("context", "context:0", "data:2", "2"):
        with pytest.raises(ConfigError, match="animate.parallel is unknown"):
            AnimateConfig(parallel=wrong)


@pytest.mark.parametrize("degree", [2, 4, 8])
def test_the_full_size_layouts_can_be_split(degree):
    parallel.check_context(degree, **WAN)


@pytest.mark.parametrize("degree", [3, 5, 16])
def test_what_does_not_divide_is_refused_with_what_would(degree):
    with pytest.raises(ConfigError, match=f"among {degree} GPUs") as caught:
        parallel.check_context(degree, **WAN)
    assert caught.value.found == "40 attention heads, 21,504 and 22,528 tokens"
    assert caught.value.fix == "--set parallel=context:N with N of 2, 4, 8"


def test_what_nothing_divides_is_not_to_be_split():
    with pytest.raises(ConfigError) as caught:
        parallel.check_context(2, heads=3, tokens=(64,))
    assert caught.value.fix == '--set parallel=""'


@pytest.mark.parametrize("gpus", [0, 1])
def test_too_few_gpus_are_said(monkeypatch, gpus):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(DeviceError, match="needs 2 GPUs") as caught:
        parallel.check_gpus(2)
    assert caught.value.found == f"{gpus} CUDA devices"


def test_one_process_is_too_few(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ConfigError, match="needs 4 processes") as caught:
        parallel.check_gpus(4)
    assert "torchrun --nproc-per-node 4" in caught.value.fix
    monkeypatch.setenv("WORLD_SIZE", "4")
    parallel.check_gpus(4)


def test_diffusers_is_asked_for_ulysses(monkeypatch):
    _, kind = wan_classes()
    asked = []
    monkeypatch.setattr(kind, "enable_parallelism", lambda self, *, config: asked.append(config))
    with torch.device("meta"):
        parallel.split(kind(num_layers=1, num_attention_heads=2, attention_head_dim=12, ffn_dim=8), 2)
    assert asked[0].ulysses_degree == 2 and asked[0].ring_degree == 1
    assert kind._cp_plan  # the class says where its tokens are split


@pytest.mark.timeout(200)
def test_the_second_process_computes_what_the_first_does_until_it_is_released():
    worker = Path(__file__).with_name("context_worker.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(worker)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = re.findall(r"SUMS (\[[^\]]*\])", done.stdout)
    assert first == second and first.count(",") == 2
