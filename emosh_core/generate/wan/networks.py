"""The registered Wan checkpoint as the networks of a diffusion generator."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from emosh_core.generate.assemble import prepare, said_of, weights_dtype, with_size
from emosh_core.generate.generator import Reference
from emosh_core.generate.lora import Lora, add_loras, common_spec, read_lora
from emosh_core.generate.memory import memory_errors
from emosh_core.generate.models import Networks, Spec
from emosh_core.generate.pixels import Letterbox
from emosh_core.generate.profiles import Profile, profile_of
from emosh_core.generate.wan.encoders import picture_encoder, prompt_tokens, registered_tokens
from emosh_core.generate.wan.load import examine, load_transformer
from emosh_core.generate.wan.parts import require_parts
from emosh_core.generate.wan.vae import load_vae
from emosh_core.settings import AnimateConfig

WAN_SPEC = Spec(
    resolution=512, window=77, overlap=5, prediction="velocity", cond_fill="animate", anchor="none", steps=20,
    shift=5.0, shift_tokens=21_504, precision="bf16",
)  # fmt: skip
"""How Wan-Animate is used as it was published; it knows no aligned latent. An adapter of ours brings its own spec."""


def load_networks(
    reference: Reference, config: AnimateConfig, loras: Sequence[tuple[Path, float]], device: str,
    *, note: Callable[[str], None],
) -> Networks:  # fmt: skip
    """Load the registered checkpoint for one reference; encoders are gone before the transformer comes.

    Args:
        loras: files or folders of LoRA weights, each with how much of it.
        note: takes what a person should know.

    Raises:
        AssetError: a part is missing, damaged or of another network.
        ConfigError: a prompt needs a text encoder, or LoRAs do not go together.
        DeviceError: there is too little memory.
    """
    parts, profile = require_parts(), profile_of(config)
    examined = examine(parts.transformer)
    read = [(read_lora(path, examined.model), weight) for path, weight in loras]
    spec = with_size(common_spec([lora for lora, _ in read], WAN_SPEC), config)
    for line in [*said_of([lora for lora, _ in read]), *_doubts(examined.found.kind, read, profile)]:
        note(line)
    if device == "cpu" and sum(value.numel() for value in examined.model.parameters()) > 1e9:
        note("a full-size generator takes hours per chunk without a GPU; --generator mini or preview does not")
    width = examined.model.config.text_dim
    with memory_errors(examined.model, spec, profile, device):
        said = None if config.prompt else registered_tokens(width)
        said = prompt_tokens(config.prompt, parts.text, width, device) if said is None else said
        unsaid = prompt_tokens(config.negative_prompt if config.guidance > 1 else "", parts.text, width, device)
        square = Letterbox(*reference.image.shape[:2], spec.resolution).fit(reference.image)
        # Called where it is made: the encoder is gone before the transformer comes.
        picture = picture_encoder(parts.clip, device, width=examined.model.config.image_dim)(square[None])
        transformer = _transformer(parts.transformer, read, spec, config, device)
        vae = load_vae(parts.vae, dtype=torch.float32, device=device).requires_grad_(False)
    context, unguided = (
        {"encoder_hidden_states": text.to(device), "encoder_hidden_states_image": picture} for text in (said, unsaid)
    )
    return Networks(transformer, vae, spec, context, unguided)


def load_follower(config: AnimateConfig, loras: Sequence[tuple[Path, float]], device: str) -> torch.nn.Module:
    """Load the transformer alone, as `load_networks` does: for a process that takes part in another's passes."""
    path = require_parts().transformer
    model = examine(path).model
    read = [(read_lora(place, model), weight) for place, weight in loras]
    spec = with_size(common_spec([lora for lora, _ in read], WAN_SPEC), config)
    return _transformer(path, read, spec, config, device)


def _transformer(
    path: Path, loras: Sequence[tuple[Lora, float]], spec: Spec, config: AnimateConfig, device: str
) -> torch.nn.Module:
    profile = profile_of(config)
    whole = profile.precision != "fp8" and profile.offload == "none"
    transformer = load_transformer(path, dtype=weights_dtype(spec, profile), device=device if whole else "cpu")
    add_loras(transformer, loras, fused=config.lora_mode == "fused")
    prepare(transformer.requires_grad_(False), spec, profile, device)
    return transformer


def _doubts(kind: str, loras: Sequence, profile: Profile) -> list[str]:
    """Return what a person may not expect of this checkpoint with these LoRAs."""
    ours = any(lora.spec is not None for lora, _ in loras)
    lines = []
    if kind == "i2v" and not ours:
        lines.append("Wan I2V knows no motion: without a LoRA that `emosh train` made nobody follows the clip")
    if kind == "animate" and not ours:
        lines.append("Wan Animate without a LoRA of ours takes the condition pictures for skeletons; "
                     'render.layers = "skeleton2d" draws such')  # fmt: skip
    if profile.sigmas and all(lora.spec is not None for lora, _ in loras):
        lines.append(f"{len(profile.sigmas)} steps are for a step-distilled LoRA, and --lora names none")
    return lines
