"""Networks as settings want them: LoRA weights, size of the pictures, precision, offloading, compilation."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from emosh_core.errors import ConfigError
from emosh_core.generate.layout import pin_positions
from emosh_core.generate.lora import Lora, add_loras, common_spec, read_lora
from emosh_core.generate.memory import memory_errors, precision_of
from emosh_core.generate.models import Networks, Spec, load
from emosh_core.generate.profiles import Profile, profile_of
from emosh_core.settings import AnimateConfig

LARGE = 1e9
"""Weights from which compiling a transformer pays within one clip."""


def load_folder(folder: Path, config: AnimateConfig, loras: Sequence[tuple[Path, float]], device: str) -> Networks:
    """Load the networks that `models.save` wrote, and prepare them.

    Raises:
        ConfigError: a LoRA was trained to be used in another way.
    """
    networks, profile = load(folder, device), profile_of(config)
    read = [(read_lora(path, networks.transformer), weight) for path, weight in loras]
    spec = common_spec([lora for lora, _ in read], networks.spec)
    if spec != networks.spec:
        raise ConfigError("a LoRA was trained on another generator", found=f"{spec} instead of {networks.spec}",
                          fix="use it with the generator that it was trained on")  # fmt: skip
    spec = with_size(spec, config)
    with memory_errors(networks.transformer, spec, profile, device):
        add_loras(networks.transformer, read, fused=config.lora_mode == "fused")
        prepare(networks.transformer, spec, profile, device)
    return replace(networks, spec=spec)


def with_size(spec: Spec, config: AnimateConfig) -> Spec:
    """Return a spec with the resolution, window and precision that settings ask for.

    Raises:
        ConfigError: the window is not longer than the overlap.
    """
    window = config.window or spec.window
    if window <= spec.overlap:
        found = f"window {window}, overlap {spec.overlap}"
        raise ConfigError("a chunk must be longer than its overlap", found=found, fix=f"window = {spec.overlap + 4}")
    precision = config.precision if config.precision in ("fp32", "bf16") else spec.precision
    return replace(spec, window=window, resolution=config.resolution or spec.resolution, precision=precision)


def weights_dtype(spec: Spec, profile: Profile) -> torch.dtype:
    """Return what a full-size transformer computes in."""
    return torch.float32 if precision_of(profile, spec) == "fp32" else torch.bfloat16


def prepare(transformer: torch.nn.Module, spec: Spec, profile: Profile, device: str) -> None:
    """Bring a transformer to a device in the way that a profile asks for; nothing is to be added to it afterwards."""
    from emosh_core.generate.layout import latent_count

    if spec.rope == "pinned":
        pin_positions(transformer, latent_count(spec.window))
    if profile.precision == "fp8":
        compute = transformer.patch_embedding.weight.dtype
        transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=compute)
    if profile.offload == "blocks" and device.startswith("cuda"):
        transformer.enable_group_offload(
            onload_device=torch.device(device), offload_device=torch.device("cpu"), offload_type="block_level",
            num_blocks_per_group=1, use_stream=True,
        )  # fmt: skip
    else:
        transformer.to(device)
    large = sum(value.numel() for value in transformer.parameters()) > LARGE
    if profile.compile == "on" or (profile.compile == "auto" and large and device.startswith("cuda")):
        transformer.compile_repeated_blocks(fullgraph=profile.cache == "off" and profile.offload == "none")


def said_of(loras: Sequence[Lora]) -> list[str]:
    """Return what a person should know of LoRA files that were read."""
    return [note for lora in loras for note in lora.notes]
