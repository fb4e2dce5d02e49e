"""The adapter: what it trains, what it leaves alone, and that every way of loading it gives the same network."""

import copy
import json
import sys
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from emosh_core.errors import AssetError, ConfigError, MissingDependencyError
from emosh_core.generate.models import Networks, Spec, build
from emosh_core.training import adapter
from emosh_core.training.descent import Recipe
from emosh_core.training.engine import PlainEngine, join_ranks

pytest.importorskip("peft")
SPEC = Spec(resolution=32, window=5, overlap=1, prediction="velocity")
RANK = 3
FILES = ("diffusers", "comfyui")


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small lose more to threads waiting for each other than they win."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def plain() -> nn.Module:
    """Return a transformer that does predict something; a test takes a copy of it."""
    transformer = build(SPEC, heads=2, head_width=12, layers=2, vae_width=8, seed=1).transformer
    torch.manual_seed(2)
    nn.init.normal_(transformer.proj_out.weight, std=0.2)
    return transformer


@pytest.fixture
def base(plain):
    return copy.deepcopy(plain)


@pytest.fixture
def attached(plain):
    transformer = copy.deepcopy(plain)
    adapter.attach(transformer, rank=RANK)
    return transformer


@pytest.fixture
def trained(attached):
    """Return an attached transformer whose trained parameters are random."""
    perturb(attached)
    return attached


@pytest.fixture
def exported(trained, tmp_path):
    adapter.export(tmp_path / "lora", trained.state_dict(), trained, spec=asdict(SPEC), rank=RANK)
    return tmp_path / "lora"


def perturb(transformer):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def given(frames=3):
    """Return z_t, times and channels of a sequence whose first latent frame has no motion."""
    generator = torch.Generator().manual_seed(4)
    zt, channels = (torch.randn(2, n, frames, 4, 4, generator=generator) for n in (16, 37))
    channels[:, -17:, :1] = 0
    channels[:, -1, 1:] = 1
    return zt, torch.tensor([0.3, 0.8]), channels


def predict(transformer):
    return Networks(transformer, nn.Identity(), SPEC).velocity(*given())


def close(got, want, atol):
    torch.testing.assert_close(predict(got), predict(want), rtol=0, atol=atol)


def same(got, want):
    return got.keys() == want.keys() and all(torch.equal(got[key], want[key]) for key in want)


def loaded(transformer, state):
    transformer.load_state_dict(state, strict=True)
    return transformer


def rewrite(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_an_adapter_changes_nothing_at_first(plain, attached):
    assert torch.equal(predict(attached), predict(plain))
    assert predict(plain).std() > 0.1, "equal because both are nothing"


def test_it_trains_the_layers_named_and_the_motion_correction_in_fp32_and_nothing_else(plain):
    transformer = copy.deepcopy(plain).to(torch.bfloat16)
    adapter.attach(transformer, rank=RANK)
    trained = {name: p for name, p in transformer.named_parameters() if p.requires_grad}
    layers = [f"attn{i}.{to}" for i in (1, 2) for to in ("to_q", "to_k", "to_v", "to_out.0")]
    layers += ["ffn.net.0.proj", "ffn.net.2"]
    wanted = {f"blocks.{n}.{layer}.lora_{x}.emosh.weight" for n in (0, 1) for layer in layers for x in "AB"}
    assert trained.keys() == wanted | {"patch_embedding.motion_correction.weight"}
    assert all(parameter.dtype == torch.float32 for parameter in trained.values())
    assert trained["patch_embedding.motion_correction.weight"].shape == (24, 17, 1, 2, 2)


def test_attaching_is_repeatable_and_draws_nothing_from_the_caller(plain, attached):
    torch.manual_seed(123)
    again, before = copy.deepcopy(plain), torch.get_rng_state()
    adapter.attach(again, rank=RANK)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(again.state_dict(), attached.state_dict())


def test_a_fused_transformer_does_what_the_attached_one_does(plain, base, trained):
    state = trained.state_dict()
    before = {key: value.clone() for key, value in state.items()}
    close(loaded(base, adapter.fused(state)), trained, 1e-5)
    assert same(state, before)
    assert (predict(trained) - predict(plain)).abs().max() > 0.1
    assert same(adapter.fused(state, 0.0), plain.state_dict())
    half = adapter.fused(state, 0.5)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(half[name], (value + adapter.fused(state)[name]) / 2, rtol=0, atol=1e-6)


def test_a_copy_has_a_correction_of_its_own(trained):
    twin = copy.deepcopy(trained)
    assert torch.equal(predict(twin), predict(trained))
    before = predict(trained)
    with torch.no_grad():
        twin.patch_embedding.motion_correction.weight += 1
    assert torch.equal(predict(trained), before)
    assert not torch.equal(predict(twin), before)


@pytest.mark.parametrize("file", FILES)
def test_an_exported_adapter_makes_a_fresh_base_the_trained_network(plain, base, trained, exported, file):
    want = loaded(copy.deepcopy(plain), adapter.fused(trained.state_dict()))
    adapter.load_adapter(base, exported, file=file)
    close(base, want, 1e-6)
    half = copy.deepcopy(plain)
    adapter.load_adapter(half, exported, 0.5, file=file)
    close(half, loaded(base, adapter.fused(trained.state_dict(), 0.5)), 1e-6)


def test_diffusers_own_loader_takes_the_lora_and_ours_the_motion_embedding(base, trained, exported):
    base.load_lora_adapter(str(exported), weight_name="pytorch_lora_weights.safetensors")
    adapter.load_motion_embedding(base, exported)
    close(base, trained, 1e-5)


def test_diffusers_converts_the_lora_of_the_comfyui_file(exported):
    from diffusers.loaders import WanLoraLoaderMixin

    tensors = load_file(exported / "emosh_comfyui.safetensors")
    own = {key: value for key, value in tensors.items() if "pose_patch_embedding" not in key}
    assert len(tensors) - len(own) == 2
    converted = WanLoraLoaderMixin.lora_state_dict(own)
    assert same(converted, load_file(exported / "pytorch_lora_weights.safetensors"))


def test_the_diffusers_file_holds_lora_only_and_the_comfyui_file_comfyuis_names(exported):
    assert all("lora" in key for key in load_file(exported / "pytorch_lora_weights.safetensors"))
    layers = [f"{a}_attn.{x}" for a in ("self", "cross") for x in "qkvo"] + ["ffn.0", "ffn.2"]
    keys = {f"diffusion_model.blocks.{n}.{layer}.lora_{x}.weight" for n in (0, 1) for layer in layers for x in "AB"}
    keys |= {f"diffusion_model.pose_patch_embedding.{x}" for x in ("diff", "diff_b")}
    assert load_file(exported / "emosh_comfyui.safetensors").keys() == keys


def test_the_motion_embedding_is_a_convolution_whose_bias_is_what_the_flag_adds(trained, exported):
    motion = load_file(exported / "motion_embedding.safetensors")
    latents = torch.randn(1, 16, 1, 4, 4)
    hidden = torch.cat([torch.zeros(1, 36, 1, 4, 4), latents, torch.ones(1, 1, 1, 4, 4)], 1)
    tokens = nn.functional.conv3d(latents, motion["weight"], motion["bias"], stride=(1, 2, 2))
    want = trained.patch_embedding(hidden) - trained.patch_embedding(torch.zeros_like(hidden))
    torch.testing.assert_close(tokens, want, rtol=0, atol=1e-5)


def test_a_flag_on_one_tap_needs_no_other_taps_written(plain, tmp_path):
    folded = copy.deepcopy(plain)
    with torch.no_grad():
        folded.patch_embedding.weight[:, -1].flatten(1)[:, 1:] = 0
    bias = folded.patch_embedding.weight[:, -1, 0, 0, 0].clone()
    adapter.attach(folded, rank=RANK)
    adapter.export(tmp_path, folded.state_dict(), folded, spec={}, rank=RANK)
    motion = load_file(tmp_path / "motion_embedding.safetensors")
    assert motion.keys() == {"weight", "bias"} and torch.equal(motion["bias"], bias)


def test_the_gradient_reaches_b_and_the_correction_at_once_and_a_one_step_later(attached):
    frozen = {name: p.detach().clone() for name, p in attached.named_parameters() if not p.requires_grad}
    trained = {name: p for name, p in attached.named_parameters() if p.requires_grad}
    # Attention over the one text token of a small network is 1 whatever queries and keys are: rounding errors are left.
    idle = {name for name in trained if ".attn2.to_q." in name or ".attn2.to_k." in name}
    optimiser = torch.optim.AdamW(trained.values(), lr=1e-2)
    attached.train()
    attached.enable_gradient_checkpointing()
    for step in range(2):
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=step == 1):
            loss = (predict(attached) - 1).square().mean()
        loss.backward()
        moved = {name for name, parameter in trained.items() if parameter.grad.any()} - idle
        assert moved == {name for name in trained if step or "lora_A" not in name} - idle
        optimiser.step()
    for name, parameter in attached.named_parameters():
        if name in frozen:
            assert parameter.grad is None and torch.equal(parameter, frozen[name])


def test_slots_without_motion_do_not_see_the_motion_embedding(plain, trained):
    zt, _, channels = given()
    hidden = torch.cat([zt, channels], 1)
    before, after = plain.patch_embedding(hidden), trained.patch_embedding(hidden)
    assert torch.equal(after[:, :, 0], before[:, :, 0])
    assert all((after - before)[:, :, i].abs().max() > 0.1 for i in (1, 2))


def test_the_average_of_an_engine_fuses(base, attached):
    recipe = Recipe(lr=1e-2, steps=2, warmup=0, ema=0.0)
    engine = PlainEngine(attached, recipe, join_ranks())
    for _ in range(2):
        engine.step([lambda: (predict(attached) - 1).square().mean()])
    close(loaded(base, adapter.fused(engine.ema_weights())), attached, 1e-5)


def test_another_base_is_refused_unless_it_is_wanted(base, exported):
    other = copy.deepcopy(base)
    with torch.no_grad():
        other.proj_out.bias += 0.1
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(ConfigError, match="another transformer") as caught:
        adapter.load_adapter(other, exported)
    assert json.loads((exported / "adapter_config.json").read_text())["base_sha256"][:16] in caught.value.found
    assert same(other.state_dict(), before)
    adapter.load_adapter(other, exported, check=False)
    adapter.load_adapter(base, exported)
    base.proj_out.bias.data += 0.1
    assert same(other.state_dict(), base.state_dict())


def test_a_base_rounded_to_bf16_is_the_same_base(base, exported):
    adapter.load_adapter(base.to(torch.bfloat16), exported)
    assert base.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16


def unknown(tensors):
    tensors["diffusion_model.head.head.diff_b"] = torch.zeros(1)


def missing(tensors):
    del tensors[next(key for key in tensors if key.endswith("lora_B.weight"))]


def narrow(tensors):
    key = next(key for key in tensors if key.endswith("lora_A.weight"))
    tensors[key] = tensors[key][:, 1:].contiguous()


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("change", "found"),
    [
        (unknown, "1 unknown: diffusion_model.head.head.diff_b"),
        (missing, "1 missing: "),
        (narrow, "1 of another shape: "),
    ],
)
def test_other_weights_than_those_expected_are_refused_by_name(base, plain, exported, file, change, found):
    rewrite(exported / adapter.LORA[file], change)
    with pytest.raises(AssetError, match=found):
        adapter.load_adapter(base, exported, file=file)
    assert same(base.state_dict(), plain.state_dict())


def test_a_motion_embedding_with_something_else_in_it_is_refused(base, exported):
    rewrite(exported / "motion_embedding.safetensors", unknown)
    for load in (adapter.load_adapter, adapter.load_motion_embedding):
        with pytest.raises(AssetError, match="1 unknown: diffusion_model.head.head.diff_b"):
            load(base, exported)


def test_what_is_no_adapter_is_refused(base, exported, tmp_path):
    with pytest.raises(AssetError, match="holds no adapter"):
        adapter.load_adapter(base, tmp_path)
    config = json.loads((exported / "adapter_config.json").read_text())
    assert adapter.read_config(exported) == config and config["spec"] == asdict(SPEC)
    (exported / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ".*"}))
    with pytest.raises(AssetError, match="not what this version writes"):
        adapter.load_adapter(base, exported)
    (exported / "adapter_config.json").write_text(json.dumps(config))
    (exported / "pytorch_lora_weights.safetensors").write_bytes(b"half a file")
    with pytest.raises(AssetError, match="cannot be read"):
        adapter.load_adapter(base, exported)


def test_a_transformer_that_carries_an_adapter_is_refused(trained, exported):
    with pytest.raises(ConfigError, match="carries an adapter already"):
        adapter.load_adapter(trained, exported, check=False)


def test_a_transformer_without_motion_channels_is_refused(exported):
    from diffusers import WanTransformer3DModel

    sizes = {"num_attention_heads": 1, "attention_head_dim": 12, "text_dim": 8, "ffn_dim": 16, "num_layers": 1}
    plain = WanTransformer3DModel(in_channels=36, out_channels=16, **sizes)
    with pytest.raises(ConfigError, match="no motion channels"):
        adapter.attach(plain, rank=RANK)
    with pytest.raises(ConfigError, match="no motion channels"):
        adapter.load_adapter(plain, exported, check=False)


def test_keys_and_values_of_image_tokens_are_adapted_on_request(plain, tmp_path):
    from diffusers import WanTransformer3DModel

    sizes = {"num_attention_heads": 1, "attention_head_dim": 12, "text_dim": 8, "ffn_dim": 16, "num_layers": 1}
    seer = WanTransformer3DModel(in_channels=53, out_channels=16, image_dim=8, added_kv_proj_dim=12, **sizes)
    fresh = copy.deepcopy(seer)
    adapter.attach(seer, rank=RANK, image_keys=True)
    perturb(seer)
    assert len([name for name in seer.state_dict() if "lora_A" in name]) == 12
    adapter.export(tmp_path, seer.state_dict(), seer, spec={}, rank=RANK)
    assert "diffusion_model.blocks.0.cross_attn.k_img.lora_A.weight" in load_file(tmp_path / adapter.LORA["comfyui"])
    adapter.load_adapter(fresh, tmp_path, file="comfyui")
    want = adapter.fused(seer.state_dict())
    assert torch.equal(fresh.blocks[0].attn2.add_k_proj.weight, want["blocks.0.attn2.add_k_proj.weight"])
    with pytest.raises(ConfigError, match="takes no image tokens"):
        adapter.attach(copy.deepcopy(plain), rank=RANK, image_keys=True)


def test_without_peft_the_error_names_the_extra(base, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependencyError, match="needs the package peft") as caught:
        adapter.attach(base, rank=RANK)
    assert caught.value.fix == 'pip install "emosh[diffusion]"'
    assert all(parameter.requires_grad for parameter in base.parameters())
