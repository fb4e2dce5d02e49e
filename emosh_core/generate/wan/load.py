"""Load a Wan transformer for video generation with motion channels, from whichever checkpoint there is."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from emosh_core.errors import AssetError
from emosh_core.generate.layout import model_channels
from emosh_core.generate.models import wan_classes
from emosh_core.generate.wan.difference import difference
from emosh_core.generate.wan.files import Source, open_source
from emosh_core.generate.wan.fold import fold_patch
from emosh_core.generate.wan.keys import (
    Found,
    Shapes,
    convert,
    dropped,
    identify,
    latent_channels,
    layer_count,
    to_diffusers,
)

HEAD_WIDTH = 128
"""Of every Wan transformer that was published, for files that do not say it."""
PATCH, POSE, POSE_BIAS = "patch_embedding.weight", "pose_patch_embedding.weight", "pose_patch_embedding.bias"

_ORIGINAL_FIELDS = {
    "num_heads": "num_attention_heads",
    "num_layers": "num_layers",
    "ffn_dim": "ffn_dim",
    "freq_dim": "freq_dim",
    "out_dim": "out_channels",
    "text_dim": "text_dim",
    "eps": "eps",
}


@dataclass(frozen=True)
class Examined:
    """A checkpoint that can be loaded, so far as names, shapes and the lengths of files tell.

    Attributes:
        source: its files.
        needed: names of the tensors that are read.
        found: what it is.
        model: diffusers' transformer with motion channels, without memory.
    """

    source: Source
    needed: set[str]
    found: Found
    model: nn.Module


def examine(path: str | Path) -> Examined:
    """Find out in a second whether a checkpoint can be loaded; no weight is read.

    Args:
        path: original folder, diffusers folder (or its `transformer/`), or one safetensors file.

    Raises:
        AssetError: the checkpoint is incomplete, of another network, or holds what cannot be read.
        MissingDependencyError: diffusers is not installed.
    """
    _, kind = wan_classes()
    source = open_source(path)
    shapes = _diffusers_shapes(source)
    found = identify(shapes)
    if found.kind == "other":
        raise AssetError(
            "not a transformer that emosh can use",
            found=f"{path}: {found.text}",
            fix="use Wan2.2-Animate-14B or Wan2.1-I2V-14B",
        )
    needed = {name for name in source.stored if not all(map(dropped, to_diffusers(name)))}
    config = transformer_config(source.config, shapes, path)
    with torch.device("meta"):
        model = kind(**config)
    have = {name: shape for name, shape in shapes.items() if not dropped(name)}
    source.check_readable(needed)
    check(have, _unfolded(model, found.kind, config["out_channels"]), f"{path}: {found.text}")
    return Examined(source, needed, found, model)


def load_transformer(path: str | Path, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> nn.Module:
    """Load Wan Animate (without its face modules), Wan I2V or one of ours as diffusers' WanTransformer3DModel.

    Weights go one by one into a model that takes no memory before. Its input has `layout.model_channels`:
    Animate's pose embedding is folded in, and of plain I2V the motion channels are zero.

    Args:
        path: as for `examine`, which is called first.
        dtype: of the weights, except those that the class wants in fp32.
    """
    examined = examine(path)
    model = examined.model
    fill(model, _folded(examined.source, examined.needed, examined.found.kind), dtype, device)
    rope = model.rope  # its tables are computed, not stored, and cannot be computed without memory
    model.rope = type(rope)(rope.attention_head_dim, rope.patch_size, rope.max_seq_len).to(device)
    return model.eval()


def check(have: Shapes, want: Shapes, found: str) -> None:
    """Refuse a checkpoint whose tensors are not those of the network.

    Raises:
        AssetError: with a short list of what is missing, too much, or of another shape.
    """
    if lines := difference(have, want):
        raise AssetError(
            "the checkpoint does not fit the network",
            found="\n         ".join([found, *lines]),
            fix="fetch the checkpoint again, or give its own config.json",
        )


def fill(
    model: nn.Module, tensors: Iterable[tuple[str, Tensor]], dtype: torch.dtype, device: torch.device | str
) -> None:
    """Put every parameter of a model on the meta device in place, one at a time.

    Args:
        tensors: each name once.
        dtype: of the weights, except for modules that the class keeps in fp32.
    """
    kept = set(getattr(model, "_keep_in_fp32_modules", None) or ())
    open_names = set(model.state_dict())
    for name, tensor in tensors:
        open_names.remove(name)
        wanted = torch.float32 if kept & set(name.split(".")) else dtype
        owner, _, leaf = name.rpartition(".")
        module = model.get_submodule(owner)
        trained = getattr(module, leaf).requires_grad
        setattr(module, leaf, nn.Parameter(tensor.to(device).to(wanted), requires_grad=trained))
        del tensor
    assert not open_names, f"not filled: {sorted(open_names)[:3]}"


def _diffusers_shapes(source: Source) -> dict[str, tuple[int, ...]]:
    """Return diffusers' name → shape without reading a weight."""
    shapes = {}
    for name, entry in source.stored.items():
        empty = torch.empty(entry.shape, device="meta")
        for new, tensor in convert(name, empty):
            if new in shapes:
                found = f"{source.path}: {new}, the second time as {name}"
                raise AssetError("a checkpoint holds a tensor twice", found=found, fix="use one with one set of names")
            shapes[new] = tuple(tensor.shape)
    return shapes


def transformer_config(stored: Mapping, shapes: Shapes, path: str | Path) -> dict:
    """Return the arguments of WanTransformer3DModel, with motion channels.

    Sizes come from the shapes; what a config.json of either style says goes before, so that a file of
    another network than its configuration is noticed.
    """
    layers = layer_count(shapes)

    def size(name: str, axis: int) -> int | None:
        """Return a length, in the first block that has the tensor."""
        names = [name.replace("*", str(n)) for n in range(layers)]
        return next((shapes[each][axis] for each in names if each in shapes), None)

    width = size(PATCH, 0)
    config = {
        "attention_head_dim": size("face_adapter.*.norm_q.weight", 0) or HEAD_WIDTH,
        "out_channels": latent_channels(shapes),
        "text_dim": size("condition_embedder.text_embedder.linear_1.weight", 1),
        "freq_dim": size("condition_embedder.time_embedder.linear_1.weight", 1),
        "ffn_dim": size("blocks.*.ffn.net.0.proj.weight", 0),
        "num_layers": layers,
        "cross_attn_norm": size("blocks.*.norm2.weight", 0) is not None,
        "image_dim": size("condition_embedder.image_embedder.norm1.weight", 0),
        "added_kv_proj_dim": size("blocks.*.attn2.add_k_proj.weight", 1),
    }
    config = {name: value for name, value in config.items() if value is not None}
    if "num_attention_heads" in stored:
        known = set(inspect.signature(wan_classes()[1].__init__).parameters) - {"self"}
        config |= {name: value for name, value in stored.items() if name in known}
    else:
        config |= {new: stored[old] for old, new in _ORIGINAL_FIELDS.items() if old in stored}
        width = stored.get("dim", width)
        heads = config.setdefault("num_attention_heads", width // config["attention_head_dim"])
        if not heads or width % heads:
            found = f"{path}: width {width}, no config.json"
            raise AssetError("the number of attention heads is not known", found=found, fix="add the config.json")
        config["attention_head_dim"] = width // heads
    return config | {"in_channels": model_channels(config["out_channels"])}


def _unfolded(model: nn.Module, kind: str, motion_channels: int) -> dict[str, tuple[int, ...]]:
    """Return what a checkpoint must hold for the model, before its patch embedding is folded."""
    want = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if kind == "folded":
        return want
    width, channels, *kernel = want[PATCH]
    want[PATCH] = (width, channels - motion_channels - 1, *kernel)
    if kind == "animate":
        want |= {POSE: (width, motion_channels, *kernel), POSE_BIAS: (width,)}
    return want


def _folded(source: Source, needed: set[str], kind: str) -> Iterable[tuple[str, Tensor]]:
    """Yield all weights by diffusers' names; the patch embedding comes last, once its parts are there."""
    parts = {}
    for name, stored in source.tensors(needed):
        for new, tensor in convert(name, stored):
            if kind != "folded" and new in (PATCH, POSE, POSE_BIAS):
                parts[new] = tensor
            else:
                yield new, tensor
        del stored, tensor
    if parts:
        yield PATCH, fold_patch(parts[PATCH], parts.get(POSE), parts.get(POSE_BIAS))
