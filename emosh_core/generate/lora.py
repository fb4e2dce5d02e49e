"""LoRA weights of any published naming on top of a transformer: read, checked, added up.

Our own exports, diffusers' names, ComfyUI's and lightx2v's (`diffusion_model.…`, also with whole differences
`.diff` and `.diff_b`), and kohya's (`lora_unet_…`). diffusers converts the same names, but leaves out the
differences, which lightx2v's distilled norms and our motion embedding are made of.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from emosh_core.errors import AssetError, ConfigError
from emosh_core.generate.models import Spec, read_spec
from emosh_core.generate.wan.files import read_header
from emosh_core.generate.wan.keys import FACE, identify, to_diffusers, to_original

PATCH, POSE = "patch_embedding", "pose_patch_embedding"
_PREFIXES = ("transformer.", "model.diffusion_model.", "diffusion_model.", "base_model.model.")
_KOHYA = "lora_unet_"
_ENDINGS = {
    "lora_A.weight": "A", "lora_B.weight": "B", "lora_A.default.weight": "A", "lora_B.default.weight": "B",
    "lora_down.weight": "A", "lora_up.weight": "B", "alpha": "alpha", "diff": "weight", "diff_b": "bias",
    "lora_B.bias": "bias",
}  # fmt: skip
"""How names end, and what of a layer a tensor is."""


@dataclass(frozen=True)
class Lora:
    """What one file or folder adds to a transformer."""

    place: Path
    pairs: dict[str, tuple[Tensor, Tensor]]
    """A (rank, in) and B (out, rank) by layer; alpha is multiplied in."""
    changes: dict[str, Tensor]
    """Differences by parameter."""
    motion: Tensor | None = None
    """(D, C + 1, 1, 2, 2), the motion embedding that replaces the transformer's; of our own exports."""
    spec: Spec | None = None
    """How our own exports are used; other files do not say."""
    notes: list[str] = field(default_factory=list)


def read_lora(place: Path, transformer: nn.Module) -> Lora:
    """Read LoRA weights for a transformer.

    Args:
        place: a safetensors file, or a folder of `emosh_core.training.adapter.export`.
        transformer: a plain WanTransformer3DModel with motion channels; not changed.

    Raises:
        AssetError: it is no LoRA, or one of another transformer; `found` says what it holds.
    """
    if place.is_file():
        return _read_file(place, transformer)
    from emosh_core.training import adapter

    config = adapter.read_config(place)
    lora = _read_file(place / adapter.LORA["diffusers"], transformer)
    # Of the transformer only the shapes are needed: it may be on the meta device.
    shape = transformer.patch_embedding.weight[:, -_motion(transformer) :].shape
    motion = adapter.read_motion(place, torch.empty(shape))
    spec = read_spec(config["spec"], place / adapter.CONFIG)
    return replace(lora, place=place, motion=motion, spec=spec)


def _motion(transformer: nn.Module) -> int:
    """Return C + 1, the number of the patch convolution's last input channels, motion and flag."""
    return transformer.config.out_channels + 1


def _read_file(path: Path, transformer: nn.Module) -> Lora:
    stored = read_header(path)
    state = transformer.state_dict()
    kohya = {to_original(name).removesuffix(".weight").replace(".", "_"): name.removesuffix(".weight")
             for name in state if name.endswith(".weight")}  # fmt: skip
    layers: dict[str, dict[str, Tensor]] = {}
    unknown, skipped = [], 0
    places = {key: _place(key, kohya) for key in stored}
    if not any(places.values()):
        shapes = {new: entry.shape for key, entry in stored.items() for new in to_diffusers(key)}
        raise AssetError("not a LoRA", found=f"{path}: {identify(shapes).text}", fix="give a LoRA of Wan 14B")
    for key, value in load_file(path).items():
        if places[key] is None:
            unknown.append(key)
        elif places[key][0].startswith(FACE):
            skipped += 1
        else:
            layer, part = places[key]
            layers.setdefault(layer, {})[part] = value.float()
    lora = Lora(path, {}, {}, notes=[f"{path.name}: {skipped} tensors of face modules are left out"] if skipped else [])
    for layer, parts in layers.items():
        unknown += _take(lora, layer, parts, state)
    if unknown:
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        found = f"{path}: {'; '.join(unknown[:4])}{more}, of {len(stored)} tensors"
        raise AssetError("LoRA weights that do not fit this transformer", found=found, fix="give a LoRA of Wan 14B I2V")
    return lora


def _place(key: str, kohya: dict[str, str]) -> tuple[str, str] | None:
    """Return diffusers' name of a tensor's layer, and what of it the tensor is; None if it is of no LoRA."""
    name = next((key.removeprefix(prefix) for prefix in _PREFIXES if key.startswith(prefix)), key)
    for ending, part in _ENDINGS.items():
        if name.endswith(f".{ending}"):
            layer = name.removesuffix(f".{ending}")
            if layer.startswith(_KOHYA):
                return kohya.get(layer.removeprefix(_KOHYA), layer), part
            return to_diffusers(layer)[0], part
    return None


def _take(lora: Lora, layer: str, parts: dict[str, Tensor], state: dict[str, Tensor]) -> list[str]:
    """Put a layer's tensors where they belong; return what does not fit, in words."""
    wrong = []
    if "A" in parts or "B" in parts:
        weight = state.get(f"{layer}.weight")
        if "A" not in parts or "B" not in parts:
            return [f"{layer}: only half of a LoRA"]
        a, b = parts["A"], parts["B"]
        b = b * float(parts.get("alpha", len(a))) / len(a)
        if layer in (PATCH, POSE) and a.ndim == 5 and len(a) == b.shape[1]:
            # A convolution: multiplied out it is small.
            parts = {"weight": (b.flatten(1) @ a.flatten(1)).reshape(len(b), *a.shape[1:])} | _only(parts, "bias")
            return _take(lora, layer, parts, state)
        shape = None if weight is None else tuple(weight.shape)
        if a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1] or shape != (len(b), a.shape[1]):
            return [f"{layer}: {(len(b), *a.shape[1:])} where the transformer has {shape or 'nothing'}"]
        lora.pairs[layer] = a, b
    for part in parts.keys() & {"weight", "bias"}:
        name = f"{layer}.{part}" if f"{layer}.{part}" in state else layer
        change = _folded(layer, part, parts[part], state) if layer in (PATCH, POSE) else parts[part]
        name = f"{PATCH}.weight" if layer == POSE else name
        if name not in state or change.shape != state[name].shape:
            have = tuple(state[name].shape) if name in state else "nothing"
            wrong.append(f"{layer}.{part}: {tuple(change.shape)} where the transformer has {have}")
        else:
            lora.changes[name] = lora.changes[name] + change if name in lora.changes else change
    return wrong


def _only(parts: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {name: parts[name]} if name in parts else {}


def _folded(layer: str, part: str, change: Tensor, state: dict[str, Tensor]) -> Tensor:
    """Bring a difference of patch or pose convolution to the channels that it has in the folded one."""
    whole = torch.zeros(state[f"{PATCH}.weight"].shape)
    count = (whole.shape[1] - 5) // 3
    if layer == PATCH:
        if part == "bias" or change.shape[1:2] == whole.shape[1:2]:
            return change
        target = whole[:, : 2 * count + 4]
    else:
        target = whole[:, -1, 0, 0, 0] if part == "bias" else whole[:, -count - 1 : -1]
    if change.shape != target.shape:
        return change
    target.copy_(change)
    return whole


@torch.no_grad()
def add_loras(transformer: nn.Module, loras: Sequence[tuple[Lora, float]], *, fused: bool = True) -> None:
    """Add LoRA weights to a transformer, in place.

    Args:
        loras: with how much of each; 0 adds nothing.
        fused: add them to the weights, summed in fp32 before they are rounded; else let peft compute them beside the
            weights. Differences are added to the weights either way.

    Raises:
        MissingDependencyError: peft is needed and not installed.
    """
    weights = dict(transformer.named_parameters())
    sums: dict[str, Tensor] = {}

    def put(name: str, change: Tensor) -> None:
        sums[name] = sums[name] + change if name in sums else change

    for lora, weight in loras:
        for name, change in lora.changes.items():
            put(name, weight * change.to(weights[name].device))
        if lora.motion is not None:
            old = weights[f"{PATCH}.weight"]
            change = torch.zeros_like(old, dtype=torch.float32)
            change[:, -_motion(transformer) :] = lora.motion.to(old.device) - old[:, -_motion(transformer) :].float()
            put(f"{PATCH}.weight", weight * change)
    layers = dict.fromkeys(layer for lora, _ in loras for layer in lora.pairs) if fused else {}
    for layer in layers:  # one at a time: all differences together would be as large as the transformer
        old = weights[f"{layer}.weight"]
        change = sum(weight * (lora.pairs[layer][1].to(old.device) @ lora.pairs[layer][0].to(old.device))
                     for lora, weight in loras if layer in lora.pairs)  # fmt: skip
        old.copy_((old.float() + change + sums.pop(f"{layer}.weight", 0)).to(old.dtype))
    for name, change in sums.items():
        weights[name].copy_((weights[name].float() + change).to(weights[name].dtype))
    if not fused:
        _attach(transformer, loras)


def _attach(transformer: nn.Module, loras: Sequence[tuple[Lora, float]]) -> None:
    names = [f"lora_{number}" for number in range(len(loras))]
    for name, (lora, _) in zip(names, loras):
        state = {f"{layer}.lora_{half}.weight": value for layer, pair in lora.pairs.items()
                 for half, value in zip("AB", pair)}  # fmt: skip
        with warnings.catch_warnings():  # that there are several is what was asked for
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            transformer.load_lora_adapter(state, prefix=None, adapter_name=name)
    transformer.set_adapters(names, [weight for _, weight in loras])


def common_spec(loras: Sequence[Lora], base: Spec) -> Spec:
    """Return how a transformer with LoRA weights is used: as our exports say, which must agree.

    Raises:
        ConfigError: two of them were trained to be used in different ways.
    """
    ours = [lora for lora in loras if lora.spec is not None]
    for other in ours[1:]:
        differ = [name for name, value in vars(other.spec).items() if value != getattr(ours[0].spec, name)]
        if differ:
            said = ", ".join(f"{name} {getattr(ours[0].spec, name)} and {getattr(other.spec, name)}" for name in differ)
            found = f"{ours[0].place} and {other.place}: {said}"
            raise ConfigError("these LoRAs are used in different ways", found=found, fix="give one of them")
    return ours[0].spec if ours else base
