"""The networks: causal encoding, neutral start, exact round trip to disk."""

import json
from dataclasses import replace

import pytest
import torch

from emosh_core.device import computes_bf16
from emosh_core.errors import AssetError
from emosh_core.generate.models import Spec, build, load, save


def test_the_first_latents_of_a_clip_are_those_of_its_first_frames(networks):
    video = torch.rand(1, 3, 9, 32, 32) * 2 - 1
    latents = networks.encode(video)
    assert latents.shape[2] == 3
    assert torch.equal(latents[:, :, :2], networks.encode(video[:, :, :5]))
    assert torch.equal(latents[:, :, :1], networks.encode(video[:, :, :1]))


def test_a_fresh_network_predicts_nothing():
    spec = Spec(resolution=32, window=9, overlap=5, prediction="z0")
    fresh = build(spec, heads=2, head_width=12, layers=1, vae_width=8, seed=0)
    zt = torch.randn(1, 16, 4, 4, 4)
    v = fresh.velocity(zt, torch.tensor([0.5]), torch.randn(1, 37, 4, 4, 4))
    torch.testing.assert_close(v, zt / 0.5, rtol=0, atol=0)


def test_saved_networks_come_back_bit_by_bit(networks, tmp_path):
    save(networks, tmp_path)
    again = load(tmp_path)
    assert again.spec == networks.spec
    for name in ("transformer", "vae"):
        before, after = getattr(networks, name).state_dict(), getattr(again, name).state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert not list(tmp_path.rglob("*.bin")) + list(tmp_path.rglob("*.pt"))


def test_a_folder_without_a_generator_is_refused(tmp_path):
    with pytest.raises(AssetError, match="holds no generator"):
        load(tmp_path)


def test_another_condition_fill_is_refused(networks, tmp_path):
    save(networks, tmp_path)
    path = tmp_path / "generator.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cond_fill": "black"}))
    with pytest.raises(AssetError, match="not what this version writes"):
        load(tmp_path)


def test_a_fresh_vae_keeps_a_still_clip_still(networks):
    still = torch.rand(1, 3, 1, 32, 32) * 2 - 1
    clip = networks.decode(networks.encode(still.repeat(1, 1, 9, 1, 1)))
    torch.testing.assert_close(clip, networks.decode(networks.encode(still)).expand_as(clip), rtol=0, atol=1e-5)


def test_half_precision_is_near_and_stays_out_of_training(networks):
    half = replace(networks, spec=replace(networks.spec, precision="bf16"))
    zt, channels = torch.randn(1, 16, 4, 4, 4), torch.randn(1, 37, 4, 4, 4)
    with torch.no_grad():
        exact, near = (each.velocity(zt, torch.tensor([0.5]), channels) for each in (networks, half))
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0, atol=0.05 * exact.abs().max().item())
    assert torch.equal(exact, near) != computes_bf16(torch.device("cpu"))
    trained = half.velocity(zt, torch.tensor([0.5]), channels)
    assert torch.equal(trained, networks.velocity(zt, torch.tensor([0.5]), channels)) and trained.requires_grad
