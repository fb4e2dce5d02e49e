"""Names of both styles, what a checkpoint is, and what is wrong with it."""

import pytest
import torch

from emosh_core.generate.wan.difference import difference
from emosh_core.generate.wan.keys import convert, dropped, identify, to_diffusers, to_original
from emosh_core.generate.wan.vae import vae_name

diffusers = pytest.importorskip("diffusers")
single_file = pytest.importorskip("diffusers.loaders.single_file_utils")


@pytest.fixture(scope="module")
def published():
    """Return the state of Animate-14B without its 35 GB."""
    with torch.device("meta"):
        return diffusers.WanAnimateTransformer3DModel(added_kv_proj_dim=5120).state_dict()


@pytest.fixture(scope="module")
def shapes(published):
    return {name: tuple(value.shape) for name, value in published.items()}


def test_all_names_of_animate_convert_as_diffusers_converts_them(published, original_state):
    assert len(published) == 1443
    original = original_state(published)
    assert len(original) == 1443 - 2 * 8 and not any("to_q" in name or "res_blocks" in name for name in original)
    ours = dict(pair for name, value in original.items() for pair in convert(name, value))
    theirs = single_file.convert_wan_transformer_to_diffusers(dict(original))
    assert ours.keys() == theirs.keys() == published.keys()
    assert all(ours[n].shape == theirs[n].shape == published[n].shape for n in published)


def test_names_come_back_and_converting_twice_changes_nothing(published):
    for name in published:
        original = to_original(name)
        assert name in to_diffusers(original) and name in to_diffusers(f"model.diffusion_model.{original}")
        assert to_diffusers(name) == (name,)
    changed = {name for name in published if to_original(name) != name}
    same = {name.split(".")[0] for name in published if name not in changed}
    assert same == {"patch_embedding", "pose_patch_embedding", "face_encoder"}


def test_the_names_that_were_read_in_the_originals_code():
    assert to_diffusers("blocks.7.norm3.bias") == ("blocks.7.norm2.bias",)
    assert to_diffusers("blocks.39.cross_attn.norm_k_img.weight") == ("blocks.39.attn2.norm_added_k.weight",)
    assert to_diffusers("head.modulation") == ("scale_shift_table",)
    assert to_diffusers("img_emb.proj.3.weight") == ("condition_embedder.image_embedder.ff.net.2.weight",)
    key, value = convert("face_adapter.fuser_blocks.2.linear1_kv.bias", torch.arange(4))
    assert key[0] == "face_adapter.2.to_k.bias" and key[1].tolist() == [0, 1]
    assert value[0] == "face_adapter.2.to_v.bias" and value[1].tolist() == [2, 3]
    ((name, bias),) = convert("motion_encoder.enc.net_app.convs.3.conv1.1.bias", torch.zeros(1, 5, 1, 1))
    assert name == "motion_encoder.res_blocks.2.conv1.act_fn.bias" and bias.shape == (5,)


def test_face_modules_are_dropped_and_nothing_else(shapes):
    gone = [name for name in shapes if dropped(name)]
    assert {name.split(".")[0] for name in gone} == {"motion_encoder", "face_encoder", "face_adapter"}
    with torch.device("meta"):
        plain = diffusers.WanTransformer3DModel(image_dim=1280, added_kv_proj_dim=5120, in_channels=36).state_dict()
    assert shapes.keys() - set(gone) - plain.keys() == {"pose_patch_embedding.weight", "pose_patch_embedding.bias"}


def test_vae_names_convert_as_diffusers_converts_them():
    with torch.device("meta"):
        state = diffusers.AutoencoderKLWan().state_dict()
    # The original's names, written out by hand from its modules.
    block = [f"residual.{n}" for n in ("0.gamma", "2.weight", "2.bias", "3.gamma", "6.weight", "6.bias")]
    layer = lambda name: [f"{name}.weight", f"{name}.bias"]  # noqa: E731
    original = [*layer("conv1"), *layer("conv2")]
    places = (
        ("encoder", "downsamples", 11, (2, 5, 8), (5, 8), (3, 6)),
        ("decoder", "upsamples", 15, (3, 7, 11), (3, 7), (4,)),
    )
    for half, side, count, resampled, in_time, widened in places:
        original += [*layer(f"{half}.conv1"), f"{half}.head.0.gamma", *layer(f"{half}.head.2")]
        original += [f"{half}.middle.{n}.{part}" for n in (0, 2) for part in block]
        original += [f"{half}.middle.1.norm.gamma", *layer(f"{half}.middle.1.to_qkv"), *layer(f"{half}.middle.1.proj")]
        for n in range(count):
            here = f"{half}.{side}.{n}"
            original += layer(f"{here}.resample.1") if n in resampled else [f"{here}.{part}" for part in block]
            original += layer(f"{here}.time_conv") if n in in_time else []
            original += layer(f"{here}.shortcut") if n in widened else []
    assert {vae_name(name) for name in original} == state.keys() and len(original) == 194
    theirs = single_file.convert_wan_vae_to_diffusers(dict(zip(original, original)))
    assert {vae_name(old): old for old in original} == theirs
    assert all(vae_name(name) == name for name in state)


def _wan(channels, *more, width=5120, image=True):
    shapes = {"patch_embedding.weight": (width, channels, 1, 2, 2), "proj_out.weight": (64, width)}
    shapes |= {f"blocks.{n}.attn1.to_q.weight": (width, width) for n in range(3)}
    if image:
        shapes["condition_embedder.image_embedder.norm1.weight"] = (1280,)
    return shapes | dict.fromkeys(more, (1,))


@pytest.mark.parametrize(
    ("shapes", "kind", "text"),
    [
        (_wan(36, "pose_patch_embedding.weight"), "animate", "Wan Animate: width 5120 (14B), 3 blocks"),
        (_wan(36), "i2v", "Wan I2V: width 5120 (14B)"),
        (_wan(53), "folded", "motion channels"),
        (_wan(16, image=False), "other", "T2V"),
        (_wan(16, width=1536, image=False), "other", "1.3B"),
        (_wan(36, image=False), "other", "two I2V experts"),
        (_wan(48), "other", "unknown use"),
        (_wan(48, width=3072, image=False) | {"proj_out.weight": (192, 3072)}, "other", "Wan2.2 TI2V"),
        (_wan(36, "condition_embedder.image_embedder.pos_embed"), "other", "FLF2V"),
        (_wan(16, "vace_blocks.0.proj_out.weight"), "other", "VACE"),
        ({"blocks.0.self_attn.q.lora_A.weight": (32, 5120)}, "other", "LoRA"),
        ({"token_embedding.weight": (256384, 4096)}, "other", "T5"),
        ({"decoder.upsamples.0.residual.0.gamma": (384, 1, 1, 1)}, "other", "Wan VAE"),
        ({"layer1.weight": (3, 3)}, "other", "1 tensors of no Wan transformer, such as layer1.weight"),
        ({}, "other", "0 tensors"),
    ],
)
def test_a_checkpoint_is_recognised(shapes, kind, text):
    found = identify(shapes)
    assert found.kind == kind and text in found.text


def test_animate_itself_is_recognised(shapes):
    assert identify(shapes).text == "Wan Animate: width 5120 (14B), 40 blocks, 36 channels in"


def test_no_difference_has_no_lines(shapes):
    assert difference(shapes, shapes) == []


def test_a_difference_names_beginnings_instead_of_a_thousand_tensors(shapes):
    have = {name: shape for name, shape in shapes.items() if ".attn2." not in name and not name.startswith("face_")}
    have |= {f"lora.{n}": (1,) for n in range(200)}
    have["blocks.3.ffn.net.2.bias"] = (7,)
    assert difference(have, shapes) == [
        "missing: face_encoder.… ×9",
        "missing: blocks.*.attn2.… ×600",
        "missing: face_adapter.… ×80",
        "unexpected: lora.… ×200",
        "shape: blocks.*.ffn.net.2.bias: (7,) instead of (5120,)",
    ]


def test_a_missing_block_and_a_few_missing_tensors_are_told_apart(shapes):
    have = {name: shape for name, shape in shapes.items() if not name.startswith("blocks.39.")}
    assert difference(have, shapes) == ["missing: blocks.39.… ×32"]
    del have["blocks.4.attn1.to_q.bias"], have["blocks.6.attn1.to_q.bias"], have["proj_out.bias"]
    assert difference(have, shapes) == [
        "missing: blocks.*.attn1.to_q.bias ×2 of 40",
        "missing: blocks.39.… ×32",
        "missing: proj_out.bias",
    ]


def test_two_networks_that_share_nothing_are_told_apart_in_few_lines(shapes):
    lines = difference({f"part{n % 30}.{n}.x": (1,) for n in range(900)}, shapes)
    assert len(lines) <= 18 and lines[-1] == "unexpected: and 660 more of 22 sorts"
    assert any(line.startswith("missing: blocks.… ×1280") for line in lines)
