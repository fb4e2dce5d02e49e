"""LoRA weights of every naming are the same LoRA, add up by weight, and say what is wrong with them."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch.nn.functional import conv3d

from emosh_core.errors import AssetError, ConfigError
from emosh_core.generate.lora import add_loras, common_spec, read_lora
from emosh_core.generate.models import Spec
from emosh_core.generate.names import find_lora, parse_lora
from emosh_core.generate.wan.fold import fold_patch, split_patch
from emosh_core.generate.wan.keys import to_original
from emosh_core.training import adapter

diffusers = pytest.importorskip("diffusers")
SPEC = Spec(resolution=32, window=9, overlap=5, prediction="velocity")


def fresh():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2, "ffn_dim": 32}
        model = diffusers.WanTransformer3DModel(
            **sizes, in_channels=53, text_dim=8, freq_dim=8, image_dim=8, added_kv_proj_dim=24
        )
    return model.eval().requires_grad_(False)


def output(model):
    draw = torch.Generator().manual_seed(1)
    inputs = {"encoder_hidden_states": torch.randn(1, 512, 8, generator=draw),
              "encoder_hidden_states_image": torch.randn(1, 5, 8, generator=draw)}  # fmt: skip
    with torch.no_grad():
        return model(torch.randn(1, 53, 2, 4, 4, generator=draw), timestep=torch.tensor([500.0]), **inputs).sample


@pytest.fixture
def pairs():
    """Return A and B for some layers of every sort."""
    draw = torch.Generator().manual_seed(2)
    layers = ("blocks.0.attn1.to_q", "blocks.1.attn2.to_out.0", "blocks.1.attn2.add_k_proj", "blocks.0.ffn.net.0.proj",
              "condition_embedder.time_proj")  # fmt: skip
    state = fresh().state_dict()
    shapes = {layer: state[f"{layer}.weight"].shape for layer in layers}
    return {layer: (torch.randn(3, narrow, generator=draw), 0.1 * torch.randn(wide, 3, generator=draw))
            for layer, (wide, narrow) in shapes.items()}  # fmt: skip


def written(pairs, style, path):
    """Write pairs in one of the namings; kohya's with an alpha of 1, which asks for a third of it."""
    state = {}
    for layer, (a, b) in pairs.items():
        original = to_original(f"{layer}.weight").removesuffix(".weight")
        if style == "diffusers":
            state |= {f"transformer.{layer}.lora_A.weight": a, f"transformer.{layer}.lora_B.weight": b}
        elif style == "comfyui":
            name = f"diffusion_model.{original}"
            state |= {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}
        elif style == "lightx2v":
            name = f"diffusion_model.{original}"
            state |= {f"{name}.lora_down.weight": a, f"{name}.lora_up.weight": b, f"{name}.alpha": torch.tensor(3.0)}
        else:
            name, alpha = f"lora_unet_{original.replace('.', '_')}", torch.tensor(1.0)
            state |= {f"{name}.lora_down.weight": a, f"{name}.lora_up.weight": 3 * b, f"{name}.alpha": alpha}
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def with_loras(*loras, fused=True):
    model = fresh()
    add_loras(model, [(read_lora(path, model), weight) for path, weight in loras], fused=fused)
    return model


@pytest.mark.parametrize("style", ["diffusers", "comfyui", "lightx2v", "kohya"])
@pytest.mark.parametrize("fused", [True, False])
def test_every_naming_is_the_same_lora_fused_or_beside_the_weights(pairs, tmp_path, style, fused):
    model = fresh()
    for layer, (a, b) in pairs.items():
        model.get_submodule(layer).weight += 0.7 * b @ a
    got = with_loras((written(pairs, style, tmp_path / "lora.safetensors"), 0.7), fused=fused)
    assert bool(getattr(got, "peft_config", None)) != fused
    assert fused or get_peft_model_state_dict(got, adapter_name="lora_0")
    torch.testing.assert_close(output(got), output(model), rtol=0, atol=1e-5)
    assert not torch.allclose(output(got), output(fresh()), atol=1e-3)


def test_weight_0_is_none_and_two_are_their_sum(pairs, tmp_path):
    first = written(pairs, "comfyui", tmp_path / "a.safetensors")
    some = {layer: (-a, 0.5 * b) for layer, (a, b) in list(pairs.items())[1:]}
    second = written(some, "diffusers", tmp_path / "b.safetensors")
    none = with_loras((first, 0.0), (second, 0.0))
    assert all(torch.equal(value, fresh().state_dict()[name]) for name, value in none.state_dict().items())
    both, base = with_loras((first, 0.5), (second, 0.8)).state_dict(), fresh().state_dict()
    one, two = (with_loras(lora).state_dict() for lora in ((first, 0.5), (second, 0.8)))
    for name, value in both.items():
        torch.testing.assert_close(value, one[name] + two[name] - base[name], rtol=0, atol=1e-6)
    beside = with_loras((first, 0.5), (second, 0.8), fused=False)
    torch.testing.assert_close(output(beside), output(with_loras((first, 0.5), (second, 0.8))), rtol=0, atol=1e-5)


def test_whole_differences_are_added_to_norms_biases_and_the_folded_patch_convolution(tmp_path):
    draw = torch.Generator().manual_seed(3)
    rand = lambda *shape: torch.randn(*shape, generator=draw)  # noqa: E731
    state = {"blocks.0.norm3.diff": rand(24), "blocks.1.self_attn.norm_q.diff": rand(24),
             "blocks.1.ffn.0.diff_b": rand(32), "patch_embedding.diff": rand(24, 36, 1, 2, 2),
             "pose_patch_embedding.diff": rand(24, 16, 1, 2, 2), "pose_patch_embedding.diff_b": rand(24)}  # fmt: skip
    path = tmp_path / "diff.safetensors"
    save_file({f"diffusion_model.{name}": value for name, value in state.items()}, path)
    got, base = with_loras((path, 2.0)).state_dict(), fresh().state_dict()
    change = {name: (got[name] - base[name]) / 2 for name in got if not torch.equal(got[name], base[name])}
    wanted = list(state.values())
    names = ("blocks.0.norm2.weight", "blocks.1.attn1.norm_q.weight", "blocks.1.ffn.net.0.proj.bias")
    expected = dict(zip(names, wanted)) | {"patch_embedding.weight": fold_patch(*wanted[3:])}
    assert change.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(change[name], value, rtol=0, atol=1e-5)


@pytest.fixture
def exported(tmp_path):
    """Export a trained adapter of ours; returns its folder and the transformer that it makes of a fresh one."""
    model = fresh()
    adapter.attach(model, rank=2)
    state = {name: value + 0.1 * torch.randn_like(value) if "lora_" in name or "correction" in name else value
             for name, value in model.state_dict().items()}  # fmt: skip
    adapter.export(tmp_path / "ours", state, model, spec=asdict(replace(SPEC, anchor="first")), rank=2)
    whole = fresh()
    whole.load_state_dict(adapter.fused(state))
    return tmp_path / "ours", whole


def test_our_exports_bring_motion_embedding_and_spec(exported):
    folder, whole = exported
    got = with_loras((folder, 1.0))
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(got.state_dict()[name], value, rtol=0, atol=1e-6)
    lora = read_lora(folder, fresh().to("meta"))
    assert common_spec([lora], SPEC).anchor == "first" and common_spec([], SPEC) == SPEC
    with pytest.raises(ConfigError, match="different ways") as caught:
        common_spec([lora, replace(lora, spec=SPEC)], SPEC)
    assert "anchor first and prev" in caught.value.found
    # Its two files by themselves: ComfyUI's holds the motion embedding, with the flag on one tap; diffusers' does not.
    for file, like in (("comfyui", whole), ("diffusers", fresh())):
        read = with_loras((folder / adapter.LORA[file], 1.0))
        torch.testing.assert_close(read.blocks[0].attn1.to_q.weight, whole.blocks[0].attn1.to_q.weight)
        for part, wanted in zip(*(split_patch(model.patch_embedding.weight) for model in (read, like))):
            torch.testing.assert_close(part, wanted, rtol=0, atol=1e-5)


def test_a_spec_of_an_older_export_has_the_defaults(exported):
    path = exported[0] / adapter.CONFIG
    config = json.loads(path.read_text())
    for name in ("anchor", "given", "rope", "aligned_motion", "shift_tokens"):
        del config["spec"][name]
    path.write_text(json.dumps(config))
    assert read_lora(exported[0], fresh()).spec == SPEC


def test_a_lora_of_the_patch_convolution_reaches_its_36_channels(tmp_path):
    draw = torch.Generator().manual_seed(3)
    a, b = torch.randn(3, 36, 1, 2, 2, generator=draw), torch.randn(24, 3, 1, 1, 1, generator=draw)
    state = {"lora_down.weight": a, "lora_up.weight": b, "alpha": torch.tensor(1.5)}
    state = {f"diffusion_model.patch_embedding.{name}": value for name, value in state.items()}
    save_file(state, tmp_path / "a.safetensors")
    got, base = with_loras((tmp_path / "a.safetensors", 1.0)), fresh()
    x = torch.randn(1, 36, 2, 4, 4, generator=draw)
    x = torch.cat([x, torch.randn(1, 17, 2, 4, 4, generator=draw)], 1)
    want = base.patch_embedding(x) + 0.5 * conv3d(conv3d(x[:, :36], a, stride=(1, 2, 2)), b)
    torch.testing.assert_close(got.patch_embedding(x), want, rtol=0, atol=1e-4)


def test_what_does_not_fit_is_named(pairs, tmp_path):
    path = tmp_path / "lora.safetensors"

    def refused(state, match):
        save_file(state, path)
        with pytest.raises(AssetError) as caught:
            read_lora(path, fresh())
        assert match in str(caught.value), str(caught.value)

    wide = torch.zeros(2, 48)
    good = load_file(written(pairs, "comfyui", path))
    other = {"diffusion_model.blocks.0.self_attn.q.lora_A.weight": wide,
             "diffusion_model.blocks.0.self_attn.q.lora_B.weight": wide.T.contiguous()}  # fmt: skip
    refused(good | other, "blocks.0.attn1.to_q: (48, 48) where the transformer has (24, 24)")
    key = next(iter(good))
    refused({name: value for name, value in good.items() if name != key}, "only half of a LoRA")
    deep = {f"diffusion_model.blocks.7.self_attn.q.lora_{side}.weight": torch.zeros(2, 2) for side in "AB"}
    refused(good | deep, "blocks.7.attn1.to_q: (2, 2) where the transformer has nothing")
    refused(good | {"unet.conv.weight": wide}, "unet.conv.weight, of 11 tensors")
    refused({"encoder.conv_in.weight": wide}, "not a LoRA")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(AssetError, match="cut short"):
        read_lora(path, fresh())


def test_places_and_weights(tmp_path):
    assert parse_lora("runs/first:0.8") == ("runs/first", 0.8)
    assert parse_lora("C:/x.safetensors") == ("C:/x.safetensors", 1)
    assert parse_lora("a:-1") == ("a", -1.0) and parse_lora("a") == ("a", 1.0)
    folder = tmp_path / "runs" / "first" / "checkpoints" / "step_000010"
    folder.mkdir(parents=True)
    with pytest.raises(AssetError, match="no LoRA") as caught:
        find_lora("runs/first", tmp_path)
    assert "--generator runs/first" in caught.value.found
    (folder / "lora").mkdir()
    assert find_lora("runs/first", tmp_path) == folder / "lora"
    with pytest.raises(AssetError, match="no LoRA none"):
        find_lora("none", tmp_path)
