"""`emosh animate` with a full-size generator, on generated checkpoints of its structure."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from wan_checkpoints import tiny_animate, tiny_i2v, write_clip, write_text, write_transformer, write_vae

from emosh_core import models
from emosh_core.artifacts import Clip
from emosh_core.errors import AssetError
from emosh_core.generate import names
from emosh_core.video_io import open_source
from emosh_core.workspace.artifact import read, read_header

pytest.importorskip("diffusers")
SMALL = ("--set", "resolution=32", "--set", "window=9", "--set", "steps=2")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A whole Animate folder as its authors lay it out, one file of I2V, and parts that lie by themselves."""
    folder = tmp_path_factory.mktemp("wan")
    animate = tiny_animate()
    write_transformer(animate, "original", folder / "animate")
    write_vae(folder / "animate" / "vae")
    write_clip(folder / "animate" / "image_encoder")
    write_transformer(tiny_i2v(animate), "file", folder / "i2v")
    write_vae(folder / "vae")
    write_clip(folder / "clip")
    write_text(folder / "text")
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "home"


@pytest.fixture
def registered(checkpoints):
    models.add("wan", checkpoints / "animate")
    return checkpoints


def command(tracked, *more):
    return ["animate", tracked / "ws", "--ref", tracked / "still.png", "--i-have-consent", "--json", *SMALL, *more]


def made(done) -> np.ndarray:
    """Return the latents: the video's encoder, on threads, does not give the same bits each time."""
    assert done.code == 0, done.err
    return read(Path(done.json["artifact"]), Clip).latents


@pytest.mark.e2e
def test_a_registered_checkpoint_is_the_default_and_makes_a_clip(emosh, tracked, checkpoints):
    added = emosh("models", "add", "wan", checkpoints / "animate")
    assert added.code == 0 and "Apache-2.0" in added.out, added.err
    done = emosh(*command(tracked))
    assert made(done).shape == (3, 16, 4, 4)
    frames = np.array([frame for _, frame in open_source(Path(done.json["video"])).frames()])
    assert frames.shape == (6, 128, 96, 3) and frames.std() > 1
    assert "generator wan: the registered Wan checkpoint" in done.err and "skeletons" in done.err
    header = read_header(Path(done.json["artifact"]))
    assert header["values"]["generator"] == "wan" and {"wan", "body"} <= header["models"].keys()
    assert emosh(*command(tracked)).json["cached"]


def test_a_lone_i2v_file_says_what_it_lacks_and_works_once_it_has_it(emosh_here, tracked, checkpoints):
    added = emosh_here("models", "add", "wan", checkpoints / "i2v" / "wan.safetensors")
    assert added.code == 0 and "no VAE and picture encoder" in added.err and "huggingface-cli" in added.err
    name, why = names.choose("auto")
    assert name != "wan" and "has no VAE" in why
    emosh_here(*command(tracked, "--generator", "wan")).check(4, "has no VAE", "models add wan-vae")
    assert emosh_here("models", "add", "wan-vae", checkpoints / "vae").code == 0
    emosh_here(*command(tracked, "--generator", "wan")).check(4, "has no picture encoder", "models add wan-clip")
    assert emosh_here("models", "add", "wan-clip", checkpoints / "clip").code == 0
    done = emosh_here(*command(tracked))
    assert made(done).shape == (3, 16, 4, 4) and "nobody follows the clip" in done.err


def test_a_file_that_is_cut_short_is_noticed_before_any_work(emosh_here, tracked, checkpoints, tmp_path):
    whole = checkpoints / "i2v" / "wan.safetensors"
    path = tmp_path / "copy.safetensors"
    path.write_bytes(whole.read_bytes()[:-1000])
    emosh_here("models", "add", "wan", path).check(4, "cut short", "bytes expected")
    path.write_bytes(whole.read_bytes())
    for kind, part in (("wan", path), ("wan-vae", checkpoints / "vae"), ("wan-clip", checkpoints / "clip")):
        models.add(kind, part)
    path.write_bytes(whole.read_bytes()[:-1000])
    emosh_here(*command(tracked)).check(4, "cut short", "bytes expected")
    assert not list((tracked / "ws").glob("retarget/*"))


def test_other_files_are_refused_with_what_they_are(emosh_here, checkpoints, tmp_path):
    emosh_here("models", "add", "wan", checkpoints / "vae").check(4, "found:", "VAE")
    emosh_here("models", "add", "wan-vae", checkpoints / "i2v" / "wan.safetensors").check(4, "not a Wan VAE")
    emosh_here("models", "add", "wan-clip", checkpoints / "vae").check(4, "not the picture encoder")
    emosh_here("models", "add", "wan-clip", tmp_path).check(4, "no ", "config.json", "image_encoder")
    emosh_here("models", "add", "wan-text", checkpoints / "clip").check(4, "needs its tokenizer")
    emosh_here("models", "add", "wan-prompt", checkpoints / "i2v" / "wan.safetensors").check(4, "not a tensor `prompt`")


def test_a_prompt_is_encoded_once_and_kept(emosh_here, tracked, registered, home):
    plain = made(emosh_here(*command(tracked)))
    refused = emosh_here(*command(tracked, "--prompt", "a person dances"))
    refused.check(2, "needs the text encoder once", "models add wan-text")
    models.add("wan-text", registered / "text")
    said = made(emosh_here(*command(tracked, "--prompt", "a person dances")))
    assert not np.array_equal(plain, said)
    (kept,) = (home / "models" / "prompts").iterdir()
    assert load_file(kept)["prompt"].shape == (3, 24)
    models.remove("wan-text")
    again = emosh_here(*command(tracked, "--prompt", "a person dances", "--force"))
    assert np.array_equal(made(again), said)
    assert emosh_here("models", "add", "wan-prompt", kept).code == 0
    assert np.array_equal(made(emosh_here(*command(tracked))), said)
    save_file({"prompt": torch.zeros(2, 8)}, kept.with_name("other.safetensors"))
    assert emosh_here("models", "add", "wan-prompt", kept.with_name("other.safetensors")).code == 0
    emosh_here(*command(tracked)).check(4, "another text encoder", "width 8, the transformer takes 24")


def lora_file(path: Path, seed: int = 0) -> Path:
    generator = torch.Generator().manual_seed(seed)
    layers = [f"diffusion_model.blocks.{n}.{name}" for n in range(4) for name in ("self_attn.q", "cross_attn.o")]
    state = {f"{layer}.lora_down.weight": torch.randn(4, 256, generator=generator) for layer in layers}
    state |= {f"{layer}.lora_up.weight": torch.randn(256, 4, generator=generator) for layer in layers}
    save_file(state, path)
    return path


def test_loras_change_the_clip_by_their_weight_and_belong_to_what_it_is_made_of(
    emosh_here, tracked, registered, tmp_path
):
    path = lora_file(tmp_path / "style.safetensors")
    plain, none = made(emosh_here(*command(tracked))), made(emosh_here(*command(tracked, "--lora", f"{path}:0")))
    assert np.array_equal(plain, none)
    done = emosh_here(*command(tracked, "--lora", f"{path}:0.5", "--lora", path))
    assert not np.array_equal(plain, made(done))
    assert f"lora {path}" in read_header(Path(done.json["artifact"]))["models"]
    lora_file(path, seed=1)
    assert not emosh_here(*command(tracked, "--lora", f"{path}:0.5", "--lora", path)).json["cached"]
    emosh_here(*command(tracked, "--lora", "runs/none")).check(4, "no LoRA runs/none")
    emosh_here(*command(tracked, "--lora", registered / "i2v" / "wan.safetensors")).check(
        4, "not a LoRA", "Wan I2V: width 256"
    )
    emosh_here(*command(tracked, "--generator", "preview", "--lora", path)).check(2, "preview has no network")


def test_profiles_and_sampling_settings_reach_the_sampler(emosh_here, tracked, registered):
    clips = {profile: made(emosh_here(*command(tracked, "--profile", profile))) for profile in ("quality", "fast")}
    clips["euler"] = made(emosh_here(*command(tracked, "--set", "solver=euler")))
    clips["sigmas"] = made(emosh_here(*command(tracked, "--set", "sigmas=[1.0, 0.2]", "--set", "steps=0")))
    clips["shift"] = made(emosh_here(*command(tracked, "--set", "shift=2.5")))
    clips["fp8"] = made(emosh_here(*command(tracked, "--set", "precision=fp8")))
    clips["fp32"] = made(emosh_here(*command(tracked, "--set", "precision=fp32")))
    assert not any(np.array_equal(a, b) for i, a in enumerate(clips.values()) for b in list(clips.values())[:i])
    emosh_here(*command(tracked, "--set", "sigmas=[0.5, 0.7]")).check(2, "must fall from 1")
    emosh_here(*command(tracked, "--set", "sigmas=[1.0, 0.5]", "--set", "solver=unipc")).check(2, "Euler's method")
    emosh_here(*command(tracked, "--profile", "slow")).check(2, "slow", "lowvram")


def test_without_a_checkpoint_the_command_that_adds_one_is_named(emosh_here, tracked):
    emosh_here(*command(tracked, "--generator", "wan")).check(4, "wan weights are needed", "emosh models add wan")
    with pytest.raises(AssetError, match="wan weights are needed"):
        models.require("wan")
