"""`emosh train --set base=wan`, as users run it: register, train on synthetic people, stop, go on, animate."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from wan_checkpoints import tiny_animate, write_clip, write_transformer, write_vae

from emosh_core.artifacts import Clip
from emosh_core.workspace.artifact import read, read_header

pytest.importorskip("peft")
SETTINGS = (
    "base=wan", "people=2", "resolution=64", "window=9", "rank=4", "batch=1", "steps=4", "lr=1e-2", "warmup=1",
    "ema=0.2", "checkpoint_every=3",
)  # fmt: skip
TRAINING = [part for pair in SETTINGS for part in ("--set", pair)]


@pytest.fixture(autouse=True)
def registered(tmp_path, monkeypatch, no_weights):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "animate"
    write_transformer(tiny_animate(), "original", folder)
    write_vae(folder / "vae")
    write_clip(folder / "image_encoder")
    return folder


@pytest.mark.e2e
def test_a_lora_is_trained_stopped_trained_on_and_animates(emosh, emosh_here, tracked, registered):
    ws, runs = tracked / "ws", tracked / "ws" / "runs"
    emosh_here("train", ws, "--name", "me", *TRAINING).check(4, "wan weights are needed", "emosh models add wan")
    assert emosh_here("models", "add", "wan", registered).code == 0
    emosh_here("train", ws, *TRAINING, "--set", "method=full").check(2, "only an adapter is trained", "method=lora")
    whole = emosh("train", ws, "--name", "me", *TRAINING, "--json")
    assert whole.code == 0, whole.err
    assert "memory of each process (lora, " in whole.err and "wan is made for 77 frames of 512 px" in whole.err
    assert all(map(math.isfinite, whole.json["losses"])) and len(whole.json["losses"]) == 4
    assert whole.json["probe_after"] < whole.json["probe_before"]
    assert not list(runs.rglob("*transformer*"))

    shutil.copytree(runs / "me" / "samples", runs / "cut" / "samples")  # filming is most of the time
    cut = emosh_here("train", ws, "--name", "cut", *TRAINING, "--set", "minutes=0.001", "--json")
    assert cut.json["step"] == 1 and "the same command goes on" in cut.err
    rest = emosh_here("train", ws, "--name", "cut", *TRAINING, "--json")
    assert cut.json["losses"] + rest.json["losses"] == whole.json["losses"]
    want, got = (load_file(Path(done.json["artifact"]) / "lora" / "pytorch_lora_weights.safetensors")
                 for done in (whole, rest))  # fmt: skip
    assert all(np.array_equal(want[key], got[key]) for key in want)

    command = ["animate", ws, "--ref", tracked / "still.png", "--i-have-consent", "--json", "--set", "steps=2"]
    ours = emosh_here(*command, "--generator", "wan", "--lora", "runs/me")
    assert ours.code == 0, ours.err
    assert "skeletons" not in ours.err and "plan: 1 chunk of 9 frames, overlap 5" in ours.err
    latents = read(Path(ours.json["artifact"]), Clip).latents
    assert latents.shape == (3, 16, 8, 8)  # 64 px: as the LoRA says
    without = emosh_here(*command, "--generator", "wan", "--set", "resolution=64", "--set", "window=9")
    assert np.abs(latents - read(Path(without.json["artifact"]), Clip).latents).max() > 0.05
    same = emosh_here(*command, "--generator", "runs/me")
    assert same.json["cached"] and same.json["artifact"] == ours.json["artifact"]
    assert "lora runs/me" in read_header(Path(ours.json["artifact"]))["models"]
    emosh_here("train", ws, "--name", "more", "--set", "base=runs/me").check(2, "is a LoRA on wan", "--name me")
    assert json.loads((runs / "me" / "config.json").read_text())["wan"].keys() == {"wan"}
