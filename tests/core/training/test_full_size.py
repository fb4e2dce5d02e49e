"""A LoRA on a generated Wan Animate checkpoint: what is cached, what is loaded when, what a checkpoint holds."""

import gc
import importlib.util
import math
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from wan_checkpoints import tiny_animate, tiny_i2v, write_clip, write_transformer, write_vae

from emosh_core import models
from emosh_core.errors import AssetError, ConfigError
from emosh_core.generate.lora import add_loras, read_lora
from emosh_core.generate.models import Networks
from emosh_core.generate.pixels import to_tensor
from emosh_core.generate.wan.load import load_transformer
from emosh_core.settings import TrainConfig
from emosh_core.training import adapter, full_size
from emosh_core.training.engine import leave_ranks
from emosh_core.training.full_size import open_full_size
from emosh_core.training.latents import TOKENS, Latents, cache_latents
from emosh_core.training.train import train

pytest.importorskip("peft")
CONFIG = TrainConfig(
    base="wan", method="lora", rank=4, steps=8, resolution=32, window=9, batch=2, lr=1e-2, warmup=2, ema=0.5,
    checkpoint_every=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A whole checkpoint, registered for all tests here."""
    folder = tmp_path_factory.mktemp("wan")
    write_transformer(tiny_animate(), "original", folder / "animate")
    write_vae(folder / "animate" / "vae")
    write_clip(folder / "animate" / "image_encoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOSH_HOME", str(folder / "home"))
        models.add("wan", folder / "animate")
        yield folder / "animate"


@pytest.fixture(scope="module")
def straight(checkpoint, discs, tmp_path_factory):
    """The folder and result of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, train(discs, CONFIG, folder, data="discs", base=open_full_size(CONFIG, "cpu"))


def files(folder) -> dict[str, np.ndarray]:
    return {f"{path.relative_to(folder)} {key}": value.numpy() for path in sorted(folder.rglob("*.safetensors"))
            for key, value in load_file(path).items()}  # fmt: skip


def test_it_learns_and_a_checkpoint_is_the_adapter_and_how_it_is_used(straight, checkpoint):
    _, result = straight
    assert len(result.losses) == 8 and all(map(math.isfinite, result.losses))
    assert result.probe_after < 0.8 * result.probe_before
    assert {path.name for path in result.checkpoint.iterdir()} == {"lora", "engine", "training.json"}
    config = adapter.read_config(result.checkpoint / "lora")
    wanted = {"resolution": 32, "window": 9, "overlap": 5, "prediction": "velocity", "cond_fill": "animate",
              "given": "noised", "anchor": "prev", "aligned_motion": "none", "rope": "contiguous", "shift": 5.0,
              "shift_tokens": 21_504}  # fmt: skip
    assert wanted.items() <= config["spec"].items()
    plain = load_transformer(checkpoint, dtype=torch.float32)
    assert config["base_sha256"] == adapter.fingerprint(plain.state_dict())


def test_a_run_that_was_stopped_goes_on_bit_by_bit(straight, discs, tmp_path):
    def stop(done, total, how):
        if done == 5 and "loss" in how:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(discs, CONFIG, tmp_path, data="discs", base=open_full_size(CONFIG, "cpu"), progress=stop)
    result = train(discs, CONFIG, tmp_path, data="discs", base=open_full_size(CONFIG, "cpu"))
    assert result.losses == straight[1].losses[3:] and result.probe_after == straight[1].probe_after
    want, got = files(straight[1].checkpoint), files(result.checkpoint)
    assert want.keys() == got.keys() and all(np.array_equal(want[key], got[key]) for key in want)


def test_every_file_of_the_export_adds_the_same_to_the_base(straight, checkpoint):
    folder = straight[1].checkpoint / "lora"
    dtype = torch.bfloat16 if open_full_size(CONFIG, "cpu").precision == "bf16" else torch.float32

    def output(change):  # in fp32, of the weights that were trained on
        transformer = load_transformer(checkpoint, dtype=dtype).float().requires_grad_(False)
        change(transformer)
        draw = torch.Generator().manual_seed(0)
        zt, channels = (torch.randn(1, count, 4, 4, 4, generator=draw) for count in (16, 37))
        channels[:, -1] = 1
        context = {"encoder_hidden_states": torch.randn(1, 512, 24, generator=draw),
                   TOKENS: torch.randn(1, 5, 32, generator=draw)}  # fmt: skip
        return Networks(transformer, None, full_size.TRAINED_SPEC).velocity(zt, torch.tensor([0.5]), channels, context)

    def read(place, **how):
        return output(lambda transformer: add_loras(transformer, [(read_lora(place, transformer), 1.0)], **how))

    ours = read(folder)
    torch.testing.assert_close(read(folder, fused=False), ours, rtol=0, atol=1e-4)
    torch.testing.assert_close(read(folder / adapter.LORA["comfyui"]), ours, rtol=0, atol=1e-4)
    for file in adapter.LORA:
        loaded = output(lambda transformer, file=file: adapter.load_adapter(transformer, folder, file=file))
        torch.testing.assert_close(loaded, ours, rtol=0, atol=1e-4)
    assert (output(lambda transformer: None) - ours).abs().max() > 0.1
    without = output(lambda transformer: adapter.load_motion_embedding(transformer, folder))
    assert (without - output(lambda transformer: None)).abs().max() > 1e-3, "the motion embedding was trained"


@pytest.fixture
def cached(checkpoint, discs, tmp_path):
    base = open_full_size(CONFIG, "cpu")
    paths = cache_latents(base.networks, discs, tmp_path, side=32, tokens=base.tokens())
    return base, [load_file(path) for path in paths], Latents(paths)


def test_samples_keep_picture_tokens_of_each_reference_and_windows_that_go_on_in_grey(cached, discs):
    base, samples, _ = cached
    assert {"frames", "cond", "continued", "reference", "weight", TOKENS} == samples[0].keys()
    assert samples[0][TOKENS].shape == (4, 5, 32) and not torch.equal(samples[0][TOKENS][0], samples[0][TOKENS][1])
    tokens = base.tokens()(discs[0].reference[None])
    torch.testing.assert_close(samples[0][TOKENS][:1].float(), tokens, rtol=0, atol=5e-3)
    video = to_tensor(discs[0].read("frames", 1, slice(0, 9), (slice(0, 32), slice(0, 32)))[None])
    video[:, :, 5:] = 0
    torch.testing.assert_close(samples[0]["continued"][1:].float(), base.networks.encode(video), rtol=0, atol=5e-3)


def test_a_batch_is_conditioned_as_wan_animate_is(cached):
    base, samples, latents = cached
    grey = base.networks.grey_latents()
    batches = [latents.draw(np.random.default_rng(0), size=2, layout=(temporal, temporal), warp=0.5, fill="animate",
                            grey=grey, tail=2, device=torch.device("cpu")) for temporal in (False, True)]  # fmt: skip
    assert torch.equal(batches[0].conditions.fill, grey)
    known = [window.float() for sample in samples for window in sample["continued"]]
    assert all(any(torch.equal(row, window) for window in known) for row in batches[1].conditions.fill)
    for batch in batches:
        for tokens, reference in zip(batch.context[TOKENS], batch.conditions.reference_latent):
            assert any(torch.equal(tokens, sample[TOKENS][n].float()) and torch.equal(reference, sample["reference"][n])
                       for sample in samples for n in range(4))  # fmt: skip


def test_what_is_done_with_is_gone_before_a_transformer_comes(checkpoint, discs, tmp_path, monkeypatch):
    encoders, vaes, transformers, loaded = [], [], [], []
    make, load = full_size.picture_encoder, full_size.load_transformer

    def remember(*args, **more):
        encode = make(*args, **more)
        encoders.append(weakref.ref(encode))
        return encode

    def look(*args, **more):
        gc.collect()
        others = [reference() for reference in (*encoders, *transformers)]
        loaded.append(others == [None] * len(others) and all(p.is_meta for vae in vaes for p in vae.parameters()))
        transformers.append(weakref.ref(made := load(*args, **more)))
        return made

    monkeypatch.setattr(full_size, "picture_encoder", remember)
    monkeypatch.setattr(full_size, "load_transformer", look)
    base = open_full_size(CONFIG, "cpu")
    vaes.append(base.networks.vae)
    assert all(p.is_meta for p in base.networks.transformer.parameters())
    notes = []
    train(discs, replace(CONFIG, steps=1), tmp_path, data="discs", base=base, note=notes.append)
    assert loaded == [True, True]
    assert "made for 77 frames of 512 px and will be trained at 9 of 32" in notes[-1]


def test_what_is_registered_as_the_prompt_is_said(checkpoint, tmp_path):
    assert (open_full_size(CONFIG, "cpu").networks.context["encoder_hidden_states"] == 0).all()
    save_file({"prompt": torch.ones(3, 24)}, tmp_path / "prompt.safetensors")
    models.add("wan-prompt", tmp_path / "prompt.safetensors")
    try:
        base = open_full_size(CONFIG, "cpu")
        assert base.networks.context["encoder_hidden_states"].sum() == 3 * 24 and "wan-prompt" in base.identity
    finally:
        models.remove("wan-prompt")


def test_a_run_is_not_continued_on_another_checkpoint(straight, discs, tmp_path):
    base = open_full_size(CONFIG, "cpu")
    other = replace(base, identity=base.identity | {"wan": "another"})
    with pytest.raises(ConfigError, match="started with another wan"):
        train(discs, CONFIG, straight[0], data="discs", base=other)


def test_missing_parts_are_named_before_anything_is_made(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSH_HOME", str(tmp_path / "home"))

    def refused(what, fix):
        with pytest.raises(AssetError, match=what) as caught:
            open_full_size(CONFIG, "cpu")
        assert fix in caught.value.fix

    refused("wan weights are needed", "emosh models add wan")
    models.add("wan", write_transformer(tiny_i2v(tiny_animate()), "file", tmp_path / "i2v"))
    refused("has no VAE", "models add wan-vae")
    models.add("wan-vae", checkpoint / "vae")
    refused("has no picture encoder", "models add wan-clip")
    models.add("wan-clip", checkpoint / "image_encoder")
    base = open_full_size(CONFIG, "cpu")
    base.networks.transformer.register_to_config(image_dim=16)
    with pytest.raises(AssetError, match="picture encoder is another one"):
        base.tokens()
    with pytest.raises(ConfigError, match="only an adapter"):
        replace(CONFIG, method="full")


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs the train extra")
def test_under_zero_it_descends_alike(straight, discs, tmp_path):
    config = replace(CONFIG, zero=1)
    try:
        result = train(discs, config, tmp_path, data="discs", base=open_full_size(config, "cpu"))
    finally:
        leave_ranks()
    assert result.losses == pytest.approx(straight[1].losses, abs=1e-2)
    assert {path.name for path in result.checkpoint.iterdir()} == {"lora", "engine", "training.json"}
