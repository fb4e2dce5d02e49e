"""Checkpoints of every kind and format give the same transformer."""

import gc
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from wan_checkpoints import FACE_SIZES, write_zero_shards

from emosh_core.errors import AssetError
from emosh_core.generate.wan import files
from emosh_core.generate.wan.load import load_transformer

diffusers = pytest.importorskip("diffusers")
STYLES = ("original", "diffusers", "file")


@pytest.fixture(scope="module")
def silent_face(animate, inputs):
    """Return what diffusers' Animate makes when the face says nothing."""
    hidden, pose, common = inputs
    with torch.no_grad():
        return animate(hidden, pose_hidden_states=pose, face_pixel_values=torch.zeros(1, 3, 9, 16, 16), **common)[0]


@pytest.mark.parametrize("style", STYLES)
def test_animate_loads_and_is_animate_with_a_silent_face(animate, silent_face, with_motion, write, tmp_path, style):
    model = load_transformer(write(animate, style, tmp_path), dtype=torch.float32)
    assert type(model) is diffusers.WanTransformer3DModel and not model.training
    assert model.config.in_channels == 53 and model.config.num_attention_heads == 2
    torch.testing.assert_close(with_motion(model), silent_face, rtol=0, atol=1e-5)
    assert not any(value.is_meta for value in (*model.parameters(), *model.buffers()))


@pytest.mark.parametrize("style", STYLES)
def test_plain_i2v_loads_and_motion_does_nothing_yet(i2v, inputs, with_motion, write, tmp_path, style):
    model = load_transformer(write(i2v, style, tmp_path), dtype=torch.float32)
    hidden, _, common = inputs
    with torch.no_grad():
        want = i2v(hidden, **common)[0]
    torch.testing.assert_close(with_motion(model), want, rtol=0, atol=1e-5)


def test_ours_loads_from_what_it_saves(animate, with_motion, write, tmp_path):
    first = load_transformer(write(animate, "file", tmp_path), dtype=torch.float32)
    first.save_pretrained(tmp_path / "ours")
    again = load_transformer(tmp_path / "ours", dtype=torch.float32)
    torch.testing.assert_close(with_motion(again), with_motion(first), rtol=0, atol=0)


def test_rope_tables_are_those_of_a_model_built_in_memory(i2v, write, tmp_path):
    model = load_transformer(write(i2v, "file", tmp_path), dtype=torch.bfloat16)
    assert torch.equal(model.rope.freqs_cos, i2v.rope.freqs_cos)
    assert torch.equal(model.rope.freqs_sin, i2v.rope.freqs_sin)


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_half_precision_stays_half_but_where_the_class_wants_fp32(animate, write, tmp_path, stored):
    model = load_transformer(write(animate, "file", tmp_path, stored), dtype=stored)
    wide = {name for name, value in model.named_parameters() if value.dtype == torch.float32}
    assert all(value.dtype in (stored, torch.float32) for value in model.parameters())
    kept = set(model._keep_in_fp32_modules)
    assert wide == {name for name, _ in model.named_parameters() if kept & set(name.split("."))}
    assert "blocks.0.norm2.weight" in wide and "blocks.0.attn1.norm_q.weight" not in wide
    torch.testing.assert_close(model.blocks[1].ffn.net[2].weight, animate.blocks[1].ffn.net[2].weight.to(stored))


def test_bf16_computes_nearly_the_same(animate, silent_face, inputs, write, tmp_path):
    model = load_transformer(write(animate, "file", tmp_path), dtype=torch.bfloat16)
    hidden, pose, common = inputs
    motion = torch.cat([torch.zeros(1, 17, 1, 4, 4), torch.cat([pose, torch.ones(1, 1, 3, 4, 4)], 1)], 2)
    halves = {name: value.bfloat16() for name, value in common.items() if name.startswith("encoder")}
    with torch.no_grad():
        got = model(torch.cat([hidden, motion], 1).bfloat16(), **common | halves)[0]
    error = (got.float() - silent_face).pow(2).mean().sqrt() / silent_face.std()
    assert got.dtype == torch.bfloat16 and error < 0.03


def _fp8(state: dict, dtype: torch.dtype, *, ending: str = ".scale_weight", rows: bool = False) -> dict:
    """Quantise the blocks' linear layers as ComfyUI's scaled files are."""
    quantised = {}
    for name, value in state.items():
        if not (".blocks." in name and name.endswith(".weight") and value.ndim == 2):
            quantised[name] = value.half()
            continue
        scale = (value.abs().amax(1, keepdim=True) if rows else value.abs().amax()) / torch.finfo(dtype).max
        quantised[name] = (value / scale).to(dtype)
        quantised[name.removesuffix(".weight") + ending] = scale
        quantised[name.removesuffix(".weight") + ".scale_input"] = torch.ones(())
    return quantised | {"model.diffusion_model.scaled_fp8": torch.zeros(2, dtype=dtype)}


@pytest.mark.parametrize(
    ("dtype", "step", "ending", "rows"),
    [
        (torch.float8_e4m3fn, 2**-4, ".scale_weight", False),
        (torch.float8_e5m2, 2**-3, ".scale_weight", False),
        (torch.float8_e4m3fn, 2**-4, ".weight_scale", True),
    ],
)
def test_scaled_fp8_is_multiplied_out(animate, write, tmp_path, dtype, step, ending, rows):
    path = write(animate, "file", tmp_path)
    save_file(_fp8(load_file(path), dtype, ending=ending, rows=rows), path)
    model = load_transformer(path, dtype=torch.float32)
    for got, want in (
        (model.blocks[2].attn2.to_q.weight, animate.blocks[2].attn2.to_q.weight),
        (model.blocks[0].ffn.net[2].weight, animate.blocks[0].ffn.net[2].weight),
    ):
        torch.testing.assert_close(got, want, rtol=step, atol=1e-4)
        assert not torch.equal(got, want)


def test_fp8_without_scales_is_refused_before_anything_is_read(animate, write, tmp_path, monkeypatch):
    path = write(animate, "file", tmp_path)
    state = _fp8(load_file(path), torch.float8_e4m3fn)
    save_file({name: value for name, value in state.items() if "scale" not in name}, path)
    monkeypatch.setattr(files, "_read", None)
    with pytest.raises(AssetError, match="shift the colours") as caught:
        load_transformer(path, dtype=torch.float32)
    assert "F8_E4M3) and " in caught.value.found and "fp8_scaled" in caught.value.fix


def test_other_quantisation_is_refused(i2v, write, tmp_path):
    path = write(i2v, "file", tmp_path)
    state = load_file(path)
    state["model.diffusion_model.blocks.1.self_attn.q.weight"] = torch.zeros(256, 128, dtype=torch.uint8)
    save_file(state, path)
    with pytest.raises(AssetError, match=r"blocks.1.self_attn.q.weight \(U8\)"):
        load_transformer(path, dtype=torch.float32)


def test_one_tensor_of_the_checkpoint_is_held_at_a_time(animate, write, tmp_path, monkeypatch):
    """Counted, not measured: when a tensor is read, those read before are gone."""
    alive, most = [], [0]
    read = files._read

    def counted(file, entry):
        most[0] = max(most[0], sum(ref() is not None for ref in alive))
        tensor = read(file, entry)
        if tensor.numel() > 40_000:  # smaller: the parts of the patch embedding, which wait for each other
            alive.append(weakref.ref(tensor))
        return tensor

    monkeypatch.setattr(files, "_read", counted)
    load_transformer(write(animate, "original", tmp_path), dtype=torch.bfloat16)
    assert len(alive) > 30 and most[0] == 0


def _memory(key: str) -> int:
    """Return what the process takes: VmRSS now, VmHWM at most [bytes]."""
    return int(Path("/proc/self/status").read_text().split(f"{key}:")[1].split()[0]) << 10


def test_peak_memory_is_the_model_and_less_than_a_file(i2v, write, tmp_path):
    # Tensors of 38 MB in six files of up to 78 MB.
    sizes = {"num_attention_heads": 2, "attention_head_dim": 128, "ffn_dim": 36864, "num_layers": 4}
    with torch.device("meta"):
        shapes = diffusers.WanTransformer3DModel(**sizes, text_dim=64, in_channels=53).state_dict()
    folder = tmp_path / "big"
    folder.mkdir()
    total = write_zero_shards({name: tuple(value.shape) for name, value in shapes.items()}, folder, 6)
    assert total > 300e6
    load_transformer(write(i2v, "file", tmp_path), dtype=torch.bfloat16)  # modules that are imported on the way
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _memory("VmRSS")
    except OSError:
        pytest.skip("peak memory cannot be reset here")
    model = load_transformer(folder, dtype=torch.bfloat16)
    peak = _memory("VmHWM") - before
    size = sum(value.nbytes for value in model.parameters())
    largest = max(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert peak < size + largest, f"{peak / 1e6:.0f} MB for a model of {size / 1e6:.0f} MB in {total / 1e6:.0f} MB"


def test_another_network_is_named(i2v, animate, write, tmp_path):
    path = tmp_path / "wrong.safetensors"
    state = load_file(write(i2v, "file", tmp_path))
    lora = {f"diffusion_model.blocks.0.self_attn.q.lora_{side}.weight": torch.zeros(4, 4) for side in "AB"}
    t2v = {name: value for name, value in state.items() if "img" not in name}
    t2v["model.diffusion_model.patch_embedding.weight"] = torch.zeros(256, 16, 1, 2, 2)
    for tensors, text in (
        (lora, r"a LoRA adapter: it changes a transformer and is none \(2 tensors\)"),
        (t2v, "Wan T2V, which takes no picture: width 256, 4 blocks, 16 channels in"),
        (torch.nn.LSTM(2, 3).state_dict(), "4 tensors of no Wan transformer, such as bias_hh_l0"),
    ):
        save_file(tensors, path)
        with pytest.raises(AssetError, match=text):
            load_transformer(path, dtype=torch.float32)


def test_a_checkpoint_that_does_not_fit_says_what_is_missing_and_what_is_too_much(animate, write, tmp_path):
    path = write(animate, "file", tmp_path)
    state = load_file(path)
    prefix = "model.diffusion_model."
    for n in range(4):
        del state[f"{prefix}blocks.{n}.cross_attn.norm_q.weight"]
        state[f"{prefix}blocks.{n}.cross_attn.gate"] = torch.zeros(1)
    del state[f"{prefix}blocks.2.ffn.2.bias"]
    state[f"{prefix}head.head.bias"] = torch.zeros(60)
    save_file(state, path)
    with pytest.raises(AssetError, match="does not fit the network") as caught:
        load_transformer(path, dtype=torch.float32)
    assert [line.strip() for line in caught.value.found.splitlines()[1:]] == [
        "missing: blocks.*.attn2.norm_q.… ×4",
        "missing: blocks.*.ffn.net.2.bias ×1 of 4",
        "unexpected: blocks.*.cross_attn.… ×4",
        "shape: proj_out.bias: (60,) instead of (64,)",
    ]
    assert "Wan Animate: width 256, 4 blocks" in caught.value.found


def test_a_config_of_another_network_is_noticed(i2v, write, tmp_path):
    folder = write(i2v, "original", tmp_path)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"num_layers": 4', '"num_layers": 5'))
    with pytest.raises(AssetError, match=r"missing: blocks.4.… ×32"):
        load_transformer(folder, dtype=torch.float32)


def test_the_head_width_of_a_lone_file_is_told_by_the_face_adapter_or_refused(write, tmp_path):
    small = {"num_attention_heads": 3, "attention_head_dim": 24, "text_dim": 8, "ffn_dim": 16, "num_layers": 2,
             "image_dim": 8, "added_kv_proj_dim": 72, "in_channels": 36}  # fmt: skip
    model = diffusers.WanAnimateTransformer3DModel(**small, **FACE_SIZES)
    loaded = load_transformer(write(model, "file", tmp_path), dtype=torch.float32)
    assert (loaded.config.num_attention_heads, loaded.config.attention_head_dim) == (3, 24)
    path = write(diffusers.WanTransformer3DModel(**small), "file", tmp_path)
    with pytest.raises(AssetError, match="width 72, no config.json"):
        load_transformer(path, dtype=torch.float32)


def test_a_tensor_by_both_of_its_names_is_refused(i2v, write, tmp_path):
    path = write(i2v, "file", tmp_path)
    save_file(load_file(path) | {"proj_out.bias": torch.zeros(64)}, path)
    with pytest.raises(AssetError, match="proj_out.bias, the second time as"):
        load_transformer(path, dtype=torch.float32)
