"""The VAE comes from an original file of either sort or a diffusers folder."""

import pytest
import torch
from safetensors.torch import save_file

from emosh_core.errors import AssetError
from emosh_core.generate.wan.vae import _HALF, _LAYERS, load_vae

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def vae():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return diffusers.AutoencoderKLWan(base_dim=8).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def original(vae):
    """Return its state by the original's names."""
    stage = {f"up_blocks.{n}.resnets.{i}.": f"upsamples.{4 * n + i}." for n in range(4) for i in range(3)}
    stage |= {f"up_blocks.{n}.upsamplers.0.": f"upsamples.{4 * n + 3}." for n in range(3)}
    back = stage | {f"{new}.": f"{old}." for old, new in _HALF.items()} | {"down_blocks.": "downsamples."}
    back |= {"conv_shortcut": "shortcut"}
    state = {}
    for name, value in vae.state_dict().items():
        if name.startswith(("quant", "post")):
            name = name.replace("post_quant_conv", "conv2").replace("quant_conv", "conv1")
        else:
            deep = ".resnets." in name or "down_blocks." in name
            for old, new in _LAYERS.items() if deep else ():
                name = name.replace(new, old)
            for new, old in back.items():
                name = name.replace(new, old)
        state[name] = value
    return state


def _write(style, vae, original, folder):
    if style == "diffusers":
        vae.save_pretrained(folder / "vae")
    elif style == "pth":
        torch.save(original, folder / "Wan2.1_VAE.pth")
    else:
        save_file(original, folder / "Wan2.1_VAE.safetensors")
    return folder


@pytest.mark.parametrize("style", ["diffusers", "pth", "safetensors"])
def test_every_source_gives_the_same_network(vae, original, tmp_path, style):
    assert not any("resnets" in name or "blocks" in name for name in original)
    loaded = load_vae(_write(style, vae, original, tmp_path))
    assert loaded.state_dict().keys() == vae.state_dict().keys() and not loaded.training
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in vae.state_dict().items())
    assert loaded.config.latents_mean == vae.config.latents_mean
    video = torch.rand(1, 3, 5, 16, 16)
    want = vae.encode(video).latent_dist.mode()
    assert torch.equal(loaded.encode(video).latent_dist.mode(), want)


def test_a_pickle_that_holds_more_than_tensors_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("ran",)

    path = tmp_path / "Wan2.1_VAE.pth"
    torch.save({"conv1.weight": Evil()}, path)
    with pytest.raises(AssetError, match="weights cannot be read"):
        load_vae(path)


def test_an_incomplete_vae_and_another_network_are_refused(original, tmp_path):
    path = tmp_path / "vae.safetensors"
    save_file({n: v for n, v in original.items() if not n.startswith("decoder.upsamples.6.")}, path)
    with pytest.raises(AssetError, match=r"missing: decoder.up_blocks.1.resnets.2.… ×6"):
        load_vae(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(AssetError, match="not a Wan VAE"):
        load_vae(path)
    save_file({"encoder.conv1.weight": torch.zeros(8, 12, 3, 3, 3)}, path)
    with pytest.raises(AssetError, match="12 channels in, as Wan 2.2's"):
        load_vae(path)
