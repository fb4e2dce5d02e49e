"""Load the Wan 2.1 VAE: names original → diffusers, and the files it comes in."""

import pickle
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from emosh_core.errors import AssetError
from emosh_core.generate.models import wan_classes
from emosh_core.generate.wan.files import open_source
from emosh_core.generate.wan.keys import Shapes, compile_names, rename
from emosh_core.generate.wan.load import check, fill
from emosh_core.generate.wan.parts import VAE_FILES

_HALF = {
    "conv1": "conv_in",
    "middle.0": "mid_block.resnets.0",
    "middle.1": "mid_block.attentions.0",
    "middle.2": "mid_block.resnets.1",
    "head.0": "norm_out",
    "head.2": "conv_out",
}
_PLACES = {
    "conv1": "quant_conv",
    "conv2": "post_quant_conv",
    **{f"{half}.{a}": f"{half}.{b}" for half in ("encoder", "decoder") for a, b in _HALF.items()},
    "encoder.downsamples.*": "encoder.down_blocks.*",
    # Three residual blocks and then, but for the last stage, the upsampler.
    **{f"decoder.upsamples.{4 * n + i}": f"decoder.up_blocks.{n}.resnets.{i}" for n in range(4) for i in range(3)},
    **{f"decoder.upsamples.{4 * n + 3}": f"decoder.up_blocks.{n}.upsamplers.0" for n in range(3)},
}
_LAYERS = {".residual.0.": ".norm1.", ".residual.2.": ".conv1.", ".residual.3.": ".norm2.", ".residual.6.": ".conv2."}
_RULES = compile_names(_PLACES)


def vae_name(name: str) -> str:
    """Return diffusers' name of a tensor of the original VAE; diffusers' own names stay."""
    name = rename(name, _RULES)
    for old, new in (_LAYERS | {".shortcut.": ".conv_shortcut."}).items():
        name = name.replace(old, new)
    return name


def load_vae(path: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> nn.Module:
    """Load diffusers' AutoencoderKLWan.

    Args:
        path: original folder or file (`Wan2.1_VAE`, .safetensors or .pth), diffusers folder or its `vae/`.
        dtype: fp32 unless memory is short; chunks are handed over through this network.

    Raises:
        AssetError: the file is incomplete or of another network.
        MissingDependencyError: diffusers is not installed.
    """
    kind, _ = wan_classes()
    path = Path(path)
    if path.is_dir() and not (path / "vae").is_dir():
        path = next((path / name for name in VAE_FILES if (path / name).is_file()), path)
    if path.suffix == ".pth":
        config, shapes, tensors = _open_pickle(path)
    else:
        source = open_source(path, "vae")
        source.check_readable(source.stored)
        config = source.config
        shapes = {vae_name(name): entry.shape for name, entry in source.stored.items()}
        tensors = ((vae_name(name), tensor) for name, tensor in source.tensors(source.stored))
    first = shapes.get("encoder.conv_in.weight", ())
    if len(first) != 5:
        found = f"{path}: {len(shapes)} tensors, such as {', '.join(list(shapes)[:3])}"
        raise AssetError("not a Wan VAE", found=found, fix="use Wan2.1_VAE.pth or the folder vae/ of diffusers")
    if not config and first[1] != 3:
        found = f"{path}: {first[1]} channels in, as Wan 2.2's"
        raise AssetError("not the VAE of Wan 2.1, which Animate uses too", found=found, fix="use Wan2.1_VAE.pth")
    with torch.device("meta"):
        model = kind.from_config(config) if config else kind(base_dim=first[0])
    check(shapes, {name: tuple(value.shape) for name, value in model.state_dict().items()}, str(path))
    fill(model, tensors, dtype, device)
    return model.eval()


def _open_pickle(path: Path) -> tuple[dict, Shapes, Iterable[tuple[str, Tensor]]]:
    """Open the only file that is published as a pickle alone; nothing but tensors may be in it."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = {vae_name(name): tensor for name, tensor in state.items()}
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    except (OSError, RuntimeError, ValueError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        found = f"{path}: {(str(error).splitlines() or [type(error).__name__])[0]}"
        raise AssetError("weights cannot be read", found=found, fix="fetch Wan2.1_VAE.pth again") from error
    return {}, shapes, state.items()
