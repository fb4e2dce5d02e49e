"""The memory plan against tensors that were counted, and what it advises."""

import contextlib
import importlib.util
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from emosh_core.generate.models import Networks, Spec, build
from emosh_core.settings import TrainConfig
from emosh_core.training import adapter
from emosh_core.training.memory import Layout, Sizes, advice, describe, kept_by_block, memory_of, sizes_of

WORKER = Path(__file__).with_name("memory_worker.py")
WAN_LORA = Sizes(trained=153_400_000, frozen=65_580_000_000, outside=508_000_000, block=403_838_464, width=5120,
                 ffn=13824, layers=40, tokens=22_528, rank=32)  # fmt: skip
"""Wan 2.1 I2V 14 B in fp32 with an adapter of rank 32; one window of 77 frames of 512 × 512 px."""


def counted(*command) -> list[dict]:
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False,
                          env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    text, decoder, found = done.stdout, json.JSONDecoder(), []
    while (start := text.find("{")) >= 0:  # two processes share the lines
        value, length = decoder.raw_decode(text[start:])
        found.append(value)
        text = text[start + length :]
    return found


def check(found: list[dict], count: int) -> None:
    assert len(found) == count
    for entry in found:
        assert entry["trained"][0] == entry["trained"][1]
        assert entry["predicted"] == pytest.approx(entry["measured"], rel=0.05), entry


def test_one_process_holds_what_was_predicted():
    check(counted(WORKER, 0), 2)


@pytest.mark.timeout(400)
@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs the train extra")
def test_two_processes_hold_what_was_predicted_under_every_zero_stage():
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    found = counted(*launcher, WORKER, 1, 2, 3)
    check(found, 12)
    assert {entry["ranks"] for entry in found} == {2}


def kept(method: str, precision: str, layers: int, *, checkpointing: bool = False) -> tuple[float, Sizes]:
    """Return the bytes that autograd keeps of a forward pass, and the sizes of the network."""
    spec = Spec(resolution=128, window=17, overlap=5, prediction="velocity")
    networks = build(spec, heads=3, head_width=64, layers=layers, vae_width=8, seed=0)
    config = TrainConfig(base="runs/x", method=method, resolution=128, batch=1)
    sizes, transformer = sizes_of(networks, config), networks.transformer.train()
    if method == "lora":
        adapter.attach(transformer, rank=config.rank)
    if checkpointing:
        transformer.enable_gradient_checkpointing()
    return saved(transformer, precision, 16, encoder_hidden_states=torch.zeros(1, 1, 64)), sizes


def saved(transformer, precision: str, side: int, **context) -> int:
    """Return the bytes that autograd keeps of a forward pass over 7 latent frames, weights excluded."""
    weights = {p.untyped_storage().data_ptr() for p in transformer.parameters()}
    storages = {}

    def keep(tensor):
        storages.setdefault(tensor.untyped_storage().data_ptr(), tensor.untyped_storage())
        return tensor

    half = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), half:
        hidden = torch.zeros(1, 53, 7, side, side, dtype=transformer.patch_embedding.weight.dtype)
        out = transformer(hidden, timestep=torch.zeros(1), return_dict=False, **context)
    assert out[0].requires_grad
    return sum(storage.nbytes() for pointer, storage in storages.items() if pointer not in weights)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_block_keeps_what_was_predicted(method, precision):
    two, sizes = kept(method, precision, 2)
    three, _ = kept(method, precision, 3)
    layout = Layout(method=method, precision=precision)
    assert sizes.tokens == 7 * 64
    assert kept_by_block(sizes, layout) == pytest.approx(three - two, rel=0.05)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_block_of_wan_with_frozen_weights_in_half_keeps_what_was_predicted(precision):
    """By token: what 769 tokens of text and picture add is nothing at full size and much in a test."""
    diffusers = pytest.importorskip("diffusers")
    vae = diffusers.AutoencoderKLWan(base_dim=8, num_res_blocks=1)
    spec = Spec(resolution=128, window=17, overlap=5, prediction="velocity", cond_fill="animate")
    found = {}
    for layers, side in itertools.product((1, 2), (16, 32)):
        wan = diffusers.WanTransformer3DModel(
            num_attention_heads=2, attention_head_dim=128, text_dim=24, freq_dim=16, ffn_dim=690, num_layers=layers,
            image_dim=32, added_kv_proj_dim=256, in_channels=53,
        )  # fmt: skip
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        wan = wan.bfloat16() if precision == "bf16" else wan
        config = TrainConfig(base="wan", method="lora", resolution=8 * side, batch=1)
        sizes = sizes_of(Networks(wan, vae, spec), config, vae_stays=False)
        assert sizes.frozen == sum(p.nbytes for p in wan.parameters()) and sizes.looks
        assert sizes.outside == sum(value.nbytes for value in wan.buffers())
        assert sizes.block == 0 or precision == "fp32"
        adapter.attach(wan, rank=config.rank)
        assert sizes.trained == sum(p.numel() for p in wan.parameters() if p.requires_grad)
        context = {"encoder_hidden_states": torch.zeros(1, 512, 24, dtype=dtype),
                   "encoder_hidden_states_image": torch.zeros(1, 257, 32, dtype=dtype)}  # fmt: skip
        found[layers, side] = saved(wan.train(), precision, side, **context), sizes
    grown = [found[2, side][0] - found[1, side][0] for side in (16, 32)]
    layout = Layout(method="lora", precision=precision)
    said = [kept_by_block(found[2, side][1], layout) for side in (16, 32)]
    assert said[1] - said[0] == pytest.approx(grown[1] - grown[0], rel=0.05)


def test_checkpointing_keeps_the_states_between_blocks_alone():
    two, sizes = kept("full", "fp32", 2, checkpointing=True)
    three, _ = kept("full", "fp32", 3, checkpointing=True)
    assert three - two == pytest.approx(4 * sizes.tokens * sizes.width, rel=0.05)


def test_what_is_shared_out_shrinks_with_the_processes():
    alone = Layout(method="full", precision="fp32")
    sizes = replace(WAN_LORA, trained=16_400_000_000, frozen=0)
    one = memory_of(sizes, alone)
    assert one.held == pytest.approx(16.4e9 * 20 + sizes.outside)
    two, three = (memory_of(sizes, replace(alone, zero=zero, ranks=8)) for zero in (2, 3))
    assert two.moments == three.moments == one.moments / 8 and two.weights == one.weights
    assert three.weights - sizes.outside == pytest.approx((one.weights - sizes.outside) / 8)
    assert two.total > three.total


def test_the_advice_is_the_cheapest_layout_that_fits_and_holds():
    layout = Layout(method="lora", precision="bf16")
    lines = advice(WAN_LORA, layout)
    assert lines[0] == "80 GB fits with --set gradient_checkpointing=true --set zero=3 on 2 processes", lines
    assert lines[1] == "40 GB fits with no setting here", "each process loads all of it before ZeRO shares it out"
    half = advice(replace(WAN_LORA, frozen=32_790_000_000, outside=0, block=0), layout)
    assert half[0] == "80 GB fits with --set gradient_checkpointing=true", half
    assert half[1] == "40 GB fits with --set gradient_checkpointing=true --set zero=3 on 4 processes", half
    small = replace(WAN_LORA, frozen=10**9, block=10**6, tokens=100)
    assert advice(small, layout) == ["80 GB fits", "40 GB fits", "24 GB fits"]
    assert advice(replace(WAN_LORA, tokens=10**7), layout)[2] == "24 GB fits with no setting here"
    read = Layout(method="lora", precision="bf16", checkpointing=True, pictures=True)
    assert advice(replace(WAN_LORA, frozen=40 * 10**9), read)[0] == "80 GB fits with --set pictures=false"


def test_the_lines_name_every_part():
    text = "\n".join(describe(WAN_LORA, Layout(method="lora", precision="bf16", zero=2, ranks=4)))
    for word in ("lora, bf16, 4 processes, ZeRO 2", "weights 66.7 GB", "gradients 0.153", "moments 0.307",
                 "average 0.153", "activations", "with gradient checkpointing", "a GPU of 80 GB"):  # fmt: skip
        assert word in text, text
