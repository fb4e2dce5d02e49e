"""Names of a Wan transformer's tensors: original → diffusers and back, and which checkpoint they are of.

Pure functions of names and shapes; nothing here reads a file or holds a weight. To convert a name twice
does what once does, so that it need not be known in which of the two styles a checkpoint is written.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]

PREFIX = "model.diffusion_model."
"""What some single files put before every name."""

FACE = ("motion_encoder.", "face_encoder.", "face_adapter.")
"""Modules of Animate that read pictures of the driver's face."""

_EMBEDDING = {
    "patch_embedding": "patch_embedding",
    "pose_patch_embedding": "pose_patch_embedding",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
    "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
    "img_emb.emb_pos": "condition_embedder.image_embedder.pos_embed",
    "head.modulation": "scale_shift_table",
    "head.head": "proj_out",
}
_ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0", "norm_q": "norm_q", "norm_k": "norm_k"}
_IMAGE_ATTENTION = {"k_img": "add_k_proj", "v_img": "add_v_proj", "norm_k_img": "norm_added_k"}
_BLOCK = {
    "modulation": "scale_shift_table",
    # The originals' norm1 and norm2 are the plain ones and hold no tensor; in diffusers those are norm1 and norm3.
    "norm3": "norm2",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    **{f"self_attn.{a}": f"attn1.{b}" for a, b in _ATTENTION.items()},
    **{f"cross_attn.{a}": f"attn2.{b}" for a, b in (_ATTENTION | _IMAGE_ATTENTION).items()},
}
_FACE_ADAPTER = {"linear1_q": "to_q", "linear2": "to_out", "q_norm": "norm_q", "k_norm": "norm_k"}
_RES_BLOCK = {
    "conv1.0": "conv1",
    "conv1.1": "conv1.act_fn",
    "conv2.1": "conv2",
    "conv2.2": "conv2.act_fn",
    "skip.1": "conv_skip",
}
_NET = "motion_encoder.enc.net_app.convs"
_FACE_NAMES = {
    **{f"face_adapter.fuser_blocks.*.{a}": f"face_adapter.*.{b}" for a, b in _FACE_ADAPTER.items()},
    **{f"face_encoder.{a}.conv": f"face_encoder.{a}" for a in ("conv1_local", "conv2", "conv3")},
    "motion_encoder.dec.direction.weight": "motion_encoder.motion_synthesis_weight",
    f"{_NET}.0.0": "motion_encoder.conv_in",
    f"{_NET}.0.1": "motion_encoder.conv_in.act_fn",
    f"{_NET}.8": "motion_encoder.conv_out",
    "motion_encoder.enc.fc.*": "motion_encoder.motion_network.*",
    **{f"{_NET}.{i + 1}.{a}": f"motion_encoder.res_blocks.{i}.{b}" for i in range(7) for a, b in _RES_BLOCK.items()},
}
NAMES = _EMBEDDING | {f"blocks.*.{a}": f"blocks.*.{b}" for a, b in _BLOCK.items()} | _FACE_NAMES
"""Original → diffusers; `*` is a number that both share, and what follows (`.weight`, `.bias`) stays."""


def compile_names(table: Mapping[str, str]) -> list[tuple[re.Pattern, str]]:
    """Make of a table of names what `rename` takes; the longest names come first."""
    rules = []
    for old in sorted(table, key=len, reverse=True):
        pattern = re.escape(old).replace(r"\*", r"(\d+)")
        rules.append((re.compile(rf"{pattern}(?=\.|$)"), table[old].replace("*", r"\1")))
    return rules


def rename(name: str, rules: list[tuple[re.Pattern, str]]) -> str:
    """Rename the beginning of a name by the first rule that fits; a name that none fits stays."""
    for pattern, new in rules:
        if found := pattern.match(name):
            return found.expand(new) + name[found.end() :]
    return name


_TO_DIFFUSERS = compile_names(NAMES)
_TO_ORIGINAL = compile_names({new: old for old, new in NAMES.items()})


def to_diffusers(name: str) -> tuple[str, ...]:
    """Return diffusers' name, or the two names of a tensor that diffusers holds as two: key first, then value."""
    name = name.removeprefix(PREFIX)
    if found := re.fullmatch(r"face_adapter\.fuser_blocks\.(\d+)\.linear1_kv\.(\w+)", name):
        return tuple(f"face_adapter.{found[1]}.{part}.{found[2]}" for part in ("to_k", "to_v"))
    return (rename(name, _TO_DIFFUSERS),)


def to_original(name: str) -> str:
    """Return the original name of one of diffusers' names; the face adapter's keys and values share one."""
    if found := re.fullmatch(r"face_adapter\.(\d+)\.to_[kv]\.(\w+)", name):
        return f"face_adapter.fuser_blocks.{found[1]}.linear1_kv.{found[2]}"
    return rename(name, _TO_ORIGINAL)


def convert(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Convert a tensor of either style to diffusers': keys and values apart, motion biases (1, C, 1, 1) → (C,)."""
    names = to_diffusers(name)
    if names[0].endswith(".act_fn.bias") and tensor.ndim == 4:
        tensor = tensor[0, :, 0, 0]
    yield from zip(names, tensor.chunk(len(names)) if len(names) > 1 else (tensor,))


def dropped(name: str) -> bool:
    """Whether a tensor with diffusers' name is not needed: the face modules, and a norm that is never applied."""
    return name.startswith(FACE) or ".norm_added_q." in name


@dataclass(frozen=True)
class Found:
    """What a checkpoint is.

    Attributes:
        kind: animate, i2v and folded (ours, motion channels included) can be loaded; anything else cannot.
        text: the same in words, with sizes.
    """

    kind: Literal["animate", "i2v", "folded", "other"]
    text: str


_MARKS = (  # part of a name that nothing else has, and what has it
    ("lora_", "a LoRA adapter: it changes a transformer and is none"),
    (".lora.", "a LoRA adapter: it changes a transformer and is none"),
    ("vace_blocks.", "a Wan VACE transformer"),
    ("audio", "a Wan transformer driven by sound (S2V)"),
    ("control_adapter.", "a Wan Fun-Control transformer"),
    ("ref_conv.", "a Wan Fun-Control transformer"),
    ("image_embedder.pos_embed", "a Wan FLF2V transformer, which wants a last frame too"),
)
_OTHER_MARKS = (
    ("decoder.upsamples.", "a Wan VAE"),
    ("decoder.up_blocks.", "a VAE"),
    ("token_embedding.", "a T5 text encoder"),
    ("shared.weight", "a T5 text encoder"),
    ("encoder.block.", "a T5 text encoder"),
    ("visual.", "a CLIP model"),
    ("vision_model.", "a CLIP model"),
    ("double_blocks.", "a Flux or Hunyuan transformer"),
    ("joint_transformer_blocks.", "a Stable Diffusion 3 transformer"),
)
_SIZES = {5120: "14B", 1536: "1.3B", 3072: "5B"}


def identify(shapes: Shapes) -> Found:
    """Say what a checkpoint is.

    Args:
        shapes: diffusers' name → shape of every tensor, the face modules' included.
    """
    for mark, text in _MARKS:
        if any(mark in name for name in shapes):
            return Found("other", f"{text} ({len(shapes)} tensors)")
    patch = shapes.get("patch_embedding.weight", ())
    layers = layer_count(shapes)
    if len(patch) != 5 or not layers:
        for mark, text in _OTHER_MARKS:
            if any(name.startswith(mark) for name in shapes):
                return Found("other", f"{text} ({len(shapes)} tensors)")
        return Found("other", f"{len(shapes)} tensors of no Wan transformer, such as {', '.join(list(shapes)[:3])}")
    width, channels = patch[:2]
    size = f"width {width}{f' ({_SIZES[width]})' if width in _SIZES else ''}, {layers} blocks, {channels} channels in"
    kind, what = _kind_of(shapes, channels)
    return Found(kind, f"{what}: {size}")


def _kind_of(shapes: Shapes, channels: int) -> tuple[str, str]:
    """Tell a Wan transformer by its input; (kind, words)."""
    image = any(name.startswith("condition_embedder.image_embedder.") for name in shapes)
    latent = latent_channels(shapes)
    if "pose_patch_embedding.weight" in shapes or any(name.startswith(FACE) for name in shapes):
        return "animate", "Wan Animate"
    if channels == 3 * latent + 5:
        return "folded", "Wan with motion channels"
    if latent == 48:
        return "other", "Wan2.2 TI2V, which works on latents of another VAE"
    if channels == latent:
        return "other", "Wan T2V, which takes no picture"
    if channels == 2 * latent + 4 and not image:
        return "other", "one of Wan2.2's two I2V experts, which has no image embedding"
    if channels == 2 * latent + 4:
        return "i2v", "Wan I2V"
    return "other", "a Wan transformer of unknown use"


def layer_count(shapes: Shapes) -> int:
    """Return one more than the highest number of a block."""
    numbers = (re.match(r"blocks\.(\d+)\.", name) for name in shapes)
    return max((int(number[1]) + 1 for number in numbers if number), default=0)


def latent_channels(shapes: Shapes) -> int:
    """Return the number of channels that a transformer makes of its 1 × 2 × 2 patches; 16 if it lacks its end."""
    return shapes.get("proj_out.weight", (64,))[0] // 4
