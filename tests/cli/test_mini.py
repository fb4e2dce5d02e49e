"""`mini`, the generator that ships: the default, what it weighs, and what happens without it."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from emosh_core.generate import names
from emosh_core.video_io import open_source
from emosh_core.workspace.artifact import read_header

SHIPPED = names.mini_folder()


def frames(path):
    return [frame for _, frame in open_source(path).frames()]


@pytest.mark.e2e
def test_mini_is_the_default_and_stands_beside_the_preview(animated, emosh_here):
    arguments = ["animate", animated / "ws", "--ref", animated / "still.png", "--i-have-consent"]
    done = emosh_here(*arguments, "--json")
    assert done.code == 0, done.err
    assert "generator mini, which ships with the package" in done.err
    header = read_header(Path(done.json["artifact"]))
    assert header["values"]["generator"] == "mini" and {"mini", "preview", "body"} <= header["models"].keys()
    made, preview = frames(done.json["video"]), frames(animated / "out.mp4")
    assert np.shape(made) == np.shape(preview)
    assert not np.array_equal(made, preview) and np.abs(np.subtract(made, preview, dtype=float)).mean() < 25
    assert emosh_here(*arguments, "--json").json["cached"]
    assert emosh_here("export", animated / "ws", "-o", animated / "side.mp4").code == 0
    panels = frames(animated / "side.mp4")[3]
    width = made[0].shape[1]
    assert panels.shape[1] == 4 * width
    distances = [[np.abs(panels[:, k * width : (k + 1) * width].astype(int) - video[3]).mean() for k in (2, 3)]
                 for video in (made, preview)]  # fmt: skip
    assert distances[0][0] < distances[0][1] and distances[1][1] < distances[1][0]


def test_the_weights_are_trained_small_and_described():
    files = list(SHIPPED.rglob("*.safetensors"))
    sizes = [path.stat().st_size for path in files]
    assert sum(sizes) <= 48e6 and max(sizes) <= 15e6
    tensors = {f"{path.parent.name}.{key}": value for path in files for key, value in load_file(path).items()}
    assert {value.dtype for value in tensors.values()} == {torch.bfloat16}
    assert tensors["transformer.proj_out.weight"].abs().max() > 0  # it begins at zero
    config = json.loads((SHIPPED / "transformer" / "config.json").read_text())
    assert config["_class_name"] == "WanTransformer3DModel" and config["in_channels"] == 53
    card = (SHIPPED / "README.md").read_text()
    for word in ("Data", "Steps", "Device", "Limits", "Licence"):
        assert word in card


@pytest.mark.parametrize(
    ("missing", "expected", "words"),
    [("nothing", "mini", "ships with the package"), ("diffusers", "preview", 'pip install "emosh[diffusion]"'),
     ("weights", "preview", "no weights of mini")],
)  # fmt: skip
def test_the_best_that_is_there_is_taken_and_said(monkeypatch, tmp_path, missing, expected, words):
    if missing == "diffusers":
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "diffusers" else find(name))
    if missing != "weights":
        (tmp_path / "generator.json").write_text("{}")
    monkeypatch.setattr(names, "mini_folder", lambda: tmp_path)
    name, why = names.choose("auto")
    assert name == expected and words in why
    assert names.choose("runs/me") == ("runs/me", "")


def test_training_adapts_what_is_trained_and_makes_new_networks_otherwise(monkeypatch, tmp_path):
    monkeypatch.setattr(names, "mini_folder", lambda: tmp_path)
    assert names.choose_base("auto", "auto") == ("scratch", "full")
    (tmp_path / "generator.json").write_text("{}")
    assert names.choose_base("auto", "auto") == ("mini", "lora")
    assert names.choose_base("runs/me", "auto") == ("runs/me", "lora")
    assert names.choose_base("scratch", "full") == ("scratch", "full")
