"""An adapter: LoRA in the blocks of a frozen transformer, and a correction of its motion embedding.

The motion embedding is what the patch convolution does to its last C + 1 input channels, motion and
flag (see generate/layout.py). The correction is a convolution of its own over these channels, added
by a forward hook, so that the rest of the patch convolution stays as it is.

Exported, an adapter is a folder of four files. Alpha is the rank, so that readers which do not know
an alpha use the same weights: W + B A.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from emosh_core.errors import AssetError, ConfigError, MissingDependencyError
from emosh_core.generate.layout import model_channels

NAME = "emosh"
"""Of the adapter within peft."""
CONFIG, MOTION = "adapter_config.json", "motion_embedding.safetensors"
LORA = {"diffusers": "pytorch_lora_weights.safetensors", "comfyui": "emosh_comfyui.safetensors"}
PATCH = "patch_embedding.weight"
CORRECTION = "patch_embedding.motion_correction.weight"
POSE = "diffusion_model.pose_patch_embedding"
"""ComfyUI's name of the motion embedding of Wan-Animate."""
COMFY = {
    ".attn1.": ".self_attn.", ".attn2.": ".cross_attn.", ".to_q": ".q", ".to_k": ".k", ".to_v": ".v",
    ".to_out.0": ".o", ".add_k_proj": ".k_img", ".add_v_proj": ".v_img", ".net.0.proj": ".0", ".net.2": ".2",
}  # fmt: skip
"""Parts of diffusers' names of layers and what ComfyUI calls them."""
FIX = "export the adapter again with `emosh train`"


def targets(*, image_keys: bool) -> str:
    """Return the pattern of the layers that get a LoRA; those for image tokens on request."""
    image = r"|attn2\.(add_k_proj|add_v_proj)" if image_keys else ""
    return rf"blocks\.\d+\.(attn[12]\.(to_q|to_k|to_v|to_out\.0){image}|ffn\.net\.(0\.proj|2))"


class MotionCorrection(nn.Conv3d):
    """A convolution over the last channels of what it is given, zero at first."""

    def __init__(self, patch: nn.Conv3d, channels: int):
        super().__init__(channels, patch.out_channels, patch.kernel_size, patch.stride, bias=False,
                         device=patch.weight.device, dtype=torch.float32)  # fmt: skip
        nn.init.zeros_(self.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden[:, -self.in_channels :].to(self.weight.dtype))


def _correct(patch: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Add the correction to what the patch convolution returns; a forward hook, bound to no network."""
    return output + patch.motion_correction(inputs[0]).to(output.dtype)


def attach(transformer: nn.Module, *, rank: int, image_keys: bool = False) -> None:
    """Freeze a WanTransformer3DModel and add an adapter to train, which changes nothing yet.

    Trained parameters are fp32 whatever the others are, and the same on each call.

    Args:
        image_keys: also adapt the keys and values of image tokens.

    Raises:
        ConfigError: the transformer has no motion channels, or no image tokens to adapt.
        MissingDependencyError: peft is not installed.
    """
    channels = _motion_channels(transformer)
    if image_keys and transformer.config.added_kv_proj_dim is None:
        raise ConfigError(
            "the transformer takes no image tokens", found="added_kv_proj_dim = None", fix="attach without image_keys"
        )
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise MissingDependencyError(
            "an adapter needs the package peft", found=str(error), fix='pip install "emosh[diffusion]"'
        ) from error
    config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian",
                        target_modules=targets(image_keys=image_keys))  # fmt: skip
    patch = transformer.patch_embedding
    transformer.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformer.add_adapter(config, NAME)
        patch.motion_correction = MotionCorrection(patch, channels)
    patch.register_forward_hook(_correct)
    for name, layer in transformer.named_modules():
        if name.endswith((f".lora_A.{NAME}", f".lora_B.{NAME}")):
            layer.float()  # peft gives them the type of the layer that they adapt


def _motion_channels(transformer: nn.Module) -> int:
    """Return C + 1, the number of the last input channels that are motion and flag."""
    config = transformer.config
    wanted = model_channels(config.out_channels)
    if config.in_channels != wanted:
        raise ConfigError(
            "the transformer has no motion channels",
            found=f"{config.in_channels} input channels, not {wanted}",
            fix="use a transformer of a generator that emosh wrote",
        )
    return config.out_channels + 1


@dataclass(frozen=True)
class _Adapter:
    """What is added to the weights of a plain transformer."""

    lora: dict[str, tuple[Tensor, Tensor]]
    """A (rank, in) and B (out, rank) by layer."""
    correction: Tensor
    """(D, C + 1, 1, 2, 2), added to the last input channels of the patch convolution."""

    def changed(self, base: dict[str, Tensor], weight: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and new value of each weight that the adapter changes, in the type that it has."""
        for layer, (a, b) in self.lora.items():
            name = f"{layer}.weight"
            old = base[name]
            yield name, (old + weight * (b.to(old.device).float() @ a.to(old.device).float())).to(old.dtype)
        old = base[PATCH]
        yield PATCH, torch.cat([old[:, : -self.correction.shape[1]], self.embedding(old, weight).to(old.dtype)], 1)

    def embedding(self, patch: Tensor, weight: float = 1.0) -> Tensor:
        """Return the corrected motion embedding (D, C + 1, 1, 2, 2) of a patch convolution's weights [fp32]."""
        return patch[:, -self.correction.shape[1] :] + weight * self.correction.to(patch.device).float()


def _split(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], _Adapter]:
    """Take the state dict of an attached transformer apart: that of the plain one, and the adapter."""
    base: dict[str, Tensor] = {}
    halves: dict[str, dict[str, Tensor]] = {"A": {}, "B": {}}
    for name, value in state.items():
        half = re.fullmatch(rf"(.*)\.lora_([AB])\.{NAME}\.weight", name)
        if half:
            halves[half[2]][half[1]] = value
        elif name != CORRECTION:
            base[name.replace(".base_layer.", ".")] = value
    lora = {layer: (a, halves["B"][layer]) for layer, a in halves["A"].items()}
    return base, _Adapter(lora, state[CORRECTION])


@torch.no_grad()
def fused(state: dict[str, Tensor], weight: float = 1.0) -> dict[str, Tensor]:
    """Turn the state dict of an attached transformer into that of a plain one.

    Args:
        state: not changed; frozen tensors are shared with the result.
        weight: how much of LoRA and correction to add; 0 gives the base.
    """
    base, adapter = _split(state)
    return base | dict(adapter.changed(base, weight))


def fingerprint(base: dict[str, Tensor]) -> str:
    """Return a hash of a plain transformer's weights, the same for a copy of them in bf16."""
    digest = hashlib.sha256()
    for name, value in sorted(base.items()):
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().to(torch.bfloat16).contiguous().flatten().view(torch.int16).numpy())
    return digest.hexdigest()


@torch.no_grad()
def export(folder: Path, state: dict[str, Tensor], transformer: nn.Module, *, spec: dict, rank: int,
           base_sha256: str = "") -> None:  # fmt: skip
    """Write an adapter: its configuration, diffusers' LoRA, the motion embedding, and both for ComfyUI.

    The motion embedding is written as a convolution with a bias: what the flag, which is the same all
    over a latent frame, adds to each token of a frame with motion.

    Args:
        state: of the attached transformer, or averages of it; of its frozen weights the patch convolution's are
            enough where `base_sha256` is given.
        transformer: the attached one; its weights are not looked at.
        spec: how the generator is used; written as it is.
        rank: as attached.
        base_sha256: `fingerprint` of the plain transformer, if it is known.
    """
    used = transformer.peft_config[NAME]
    if used.r != rank:
        raise ValueError(f"the adapter that is attached has rank {used.r}, not {rank}")
    base, adapter = _split(state)
    config = {
        "peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": used.target_modules,
        "spec": spec, "base_sha256": base_sha256 or fingerprint(base),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    halves = [(layer, half, value) for layer, pair in adapter.lora.items() for half, value in zip("AB", pair)]
    lora = {file: {_key(file, layer, half): value for layer, half, value in halves} for file in LORA}
    change = adapter.correction
    lora["comfyui"] |= {f"{POSE}.diff": change[:, :-1], f"{POSE}.diff_b": change[:, -1].sum((1, 2, 3))}
    new = adapter.embedding(base[PATCH])
    motion = {"weight": new[:, :-1], "bias": new[:, -1].sum((1, 2, 3))}
    if not torch.equal(_one_tap(motion["bias"], new[:, -1:]), new[:, -1:]):
        motion["flag_taps"] = new[:, -1:]
    for name, tensors in [(MOTION, motion), *((LORA[file], lora[file]) for file in LORA)]:
        whole = {key: value.cpu().contiguous() for key, value in tensors.items()}
        save_file(whole, folder / name, metadata={"format": "pt"})


def _key(file: str, layer: str, half: str) -> str:
    """Return what a file calls half A or B of a layer's LoRA."""
    if file == "diffusers":
        return f"transformer.{layer}.lora_{half}.weight"
    for ours, theirs in COMFY.items():
        layer = layer.replace(ours, theirs)
    return f"diffusion_model.{layer}.lora_{half}.weight"


def _one_tap(bias: Tensor, like: Tensor) -> Tensor:
    """Return weights (D, 1, 1, 2, 2) by which a flag of 1 adds a bias (D,): on the first tap."""
    taps = torch.zeros_like(like)
    taps[:, 0, 0, 0, 0] = bias
    return taps


def read_config(folder: Path) -> dict:
    """Read how an adapter was made.

    Returns:
        `r`, `lora_alpha` and `target_modules` as peft names them, `spec` and `base_sha256`.

    Raises:
        AssetError: the folder holds no adapter, or one that this version does not write.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text())
        known = config["peft_type"] == "LORA" and config["r"] == config["lora_alpha"] > 0
        known &= config["target_modules"] in (targets(image_keys=False), targets(image_keys=True))
        known &= isinstance(config["spec"], dict) and isinstance(config["base_sha256"], str)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssetError(f"{folder} holds no adapter", found=f"{path.name}: {error!r}", fix=FIX) from error
    if not known:
        raise AssetError(f"{path} is not what this version writes", found=json.dumps(config), fix=FIX)
    return config


@torch.no_grad()
def load_adapter(
    transformer: nn.Module, folder: Path, weight: float = 1.0, *,
    file: Literal["diffusers", "comfyui"] = "diffusers", check: bool = True,
) -> None:  # fmt: skip
    """Add an exported adapter to the weights of a plain transformer, in place.

    Args:
        weight: how much of LoRA and motion embedding to add; 0 leaves the transformer as it is.
        file: which of the files to read the LoRA from, and the motion embedding with it or beside it.
        check: whether the transformer must be the one that the adapter was trained on.

    Raises:
        ConfigError: the transformer is another one, or not plain; nothing was changed.
        AssetError: the files are not an adapter for this transformer; nothing was changed.
    """
    channels = _motion_channels(transformer)
    state = transformer.state_dict()
    if any(".base_layer." in name for name in state):
        raise ConfigError(
            "the transformer carries an adapter already", found=f"{type(transformer).__name__} with layers of peft",
            fix="load this one first, and others on top of it",
        )  # fmt: skip
    config = read_config(folder)
    if check and (found := fingerprint(state)) != config["base_sha256"]:
        raise ConfigError(
            "the adapter was trained on another transformer",
            found=f"weights {found[:16]}, where {folder} wants {config['base_sha256'][:16]}",
            fix="load it into the one that it was trained on; check=False adds it to any",
        )
    layers = [name for name, _ in transformer.named_modules() if re.fullmatch(config["target_modules"], name)]
    shapes = {}
    for layer in layers:
        wide, narrow = state[f"{layer}.weight"].shape
        shapes |= {_key(file, layer, "A"): (config["r"], narrow), _key(file, layer, "B"): (wide, config["r"])}
    patch = state[PATCH][:, -channels:]
    if file == "comfyui":
        shapes |= {f"{POSE}.diff": tuple(patch[:, :-1].shape), f"{POSE}.diff_b": (len(patch),)}
    tensors = _read(folder / LORA[file], shapes)
    if file == "comfyui":
        correction = torch.cat([tensors[f"{POSE}.diff"], _one_tap(tensors[f"{POSE}.diff_b"], patch[:, -1:].cpu())], 1)
    else:
        correction = read_motion(folder, patch) - patch.cpu()
    adapter = _Adapter({x: (tensors[_key(file, x, "A")], tensors[_key(file, x, "B")]) for x in layers}, correction)
    for name, value in adapter.changed(state, weight):
        state[name].copy_(value)


@torch.no_grad()
def load_motion_embedding(transformer: nn.Module, folder: Path) -> None:
    """Replace the motion embedding by that of an adapter whose LoRA diffusers' own loader has loaded.

    Raises:
        ConfigError: the transformer has no motion channels.
        AssetError: the file is not a motion embedding for this transformer.
    """
    patch = transformer.patch_embedding.weight[:, -_motion_channels(transformer) :]
    patch.copy_(read_motion(folder, patch))


def read_motion(folder: Path, patch: Tensor) -> Tensor:
    """Read a motion embedding as weights over motion and flag, shaped like those of the patch convolution."""
    flag = patch[:, -1:]
    shapes = {"weight": tuple(patch[:, :-1].shape), "bias": (len(patch),), "flag_taps": tuple(flag.shape)}
    found = _read(folder / MOTION, shapes, optional=frozenset({"flag_taps"}))
    taps = found.get("flag_taps")
    return torch.cat([found["weight"], _one_tap(found["bias"], flag.cpu()) if taps is None else taps], 1)


def _read(path: Path, shapes: dict[str, tuple[int, ...]], optional: frozenset[str] = frozenset()) -> dict[str, Tensor]:
    """Read the tensors of these names and shapes, and refuse a file that holds others."""
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise AssetError("a file of an adapter cannot be read", found=f"{path}: {error}", fix=FIX) from error
    odd = {
        "unknown": sorted(found.keys() - shapes.keys()),
        "missing": sorted(shapes.keys() - found.keys() - optional),
        "of another shape": sorted(k for k in found if k in shapes and tuple(found[k].shape) != shapes[k]),
    }
    if any(odd.values()):
        listed = [f"{len(keys)} {what}: {', '.join(keys[:4])}" for what, keys in odd.items() if keys]
        raise AssetError(f"{path} does not fit this transformer", found="; ".join(listed), fix=FIX)
    return found
