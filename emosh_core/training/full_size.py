"""A LoRA on the registered Wan checkpoint: encoders first, the frozen transformer once they are gone.

The base is gigabytes that nothing changes, so a checkpoint of such a run is the adapter alone, and every start reads
the base where it lies.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emosh_core.device import computes_bf16
from emosh_core.generate.lora import add_loras, read_lora
from emosh_core.generate.models import Networks
from emosh_core.generate.wan.encoders import picture_encoder, prompt_tokens, registered_tokens
from emosh_core.generate.wan.load import examine, load_transformer
from emosh_core.generate.wan.networks import WAN_SPEC
from emosh_core.generate.wan.parts import Parts, digests, require_parts
from emosh_core.generate.wan.vae import load_vae
from emosh_core.settings import TrainConfig

TRAINED_SPEC = replace(WAN_SPEC, anchor="prev")
"""How a LoRA of ours uses Wan: as Wan-Animate is conditioned, and with the aligned latent, which it learns. Given
latents lie on their true path from noise, as in `flow.flow_loss`."""


@dataclass(frozen=True, kw_only=True)
class FullSize:
    """The registered checkpoint, as far as it is loaded before samples are encoded."""

    networks: Networks
    """The VAE on the device, and the transformer on the meta device, as it will be."""
    parts: Parts
    device: torch.device
    identity: dict[str, str]
    """Digest of each registered part: what a run that is continued must find again."""

    @property
    def precision(self) -> str:
        """What training computes in: the frozen weights are bf16 where the device multiplies that natively."""
        return "bf16" if computes_bf16(self.device) else "fp32"

    @property
    def notes(self) -> list[str]:
        """What a person should know of the settings."""
        spec, made = self.networks.spec, WAN_SPEC
        if (spec.resolution, spec.window) == (made.resolution, made.window):
            return []
        return [f"wan is made for {made.window} frames of {made.resolution} px and will be trained at {spec.window} of "
                f"{spec.resolution}: --set window={made.window} --set resolution={made.resolution}"]  # fmt: skip

    def tokens(self) -> Callable[[np.ndarray], Tensor]:
        """Load the picture encoder, which goes with the function: see `picture_encoder`."""
        return picture_encoder(self.parts.clip, self.device, width=self.networks.transformer.config.image_dim)

    def load(self, checkpoint: Path | None = None) -> Networks:
        """Let the VAE go and load the transformer, with what a checkpoint of a run adds to it if one is given.

        The networks that are returned encode and decode nothing.
        """
        self.networks.vae.to("meta")
        gc.collect()  # adapters and hooks of an earlier transformer hold each other
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        transformer = load_transformer(self.parts.transformer, dtype=dtype, device=self.device)
        if checkpoint is not None:
            # Beside the weights: a small change would be lost when they are rounded.
            add_loras(transformer, [(read_lora(checkpoint / "lora", transformer), 1.0)], fused=False)
        return replace(self.networks, transformer=transformer)


def open_full_size(config: TrainConfig, device: torch.device | str) -> FullSize:
    """Load the VAE and what is said beside pictures, and look into the rest.

    Args:
        config: `resolution`, `window` and `overlap` go into the spec.

    Raises:
        AssetError: no Wan checkpoint is registered, or a part is missing, damaged or of another network.
    """
    parts, device = require_parts(), torch.device(device)
    model = examine(parts.transformer).model
    width = model.config.text_dim
    said = registered_tokens(width)
    said = prompt_tokens("", None, width, str(device)) if said is None else said
    vae = load_vae(parts.vae, device=device).requires_grad_(False)
    spec = replace(TRAINED_SPEC, resolution=config.resolution, window=config.window, overlap=config.overlap)
    model = model.bfloat16() if computes_bf16(device) else model
    networks = Networks(model, vae, spec, {"encoder_hidden_states": said.to(device)})
    return FullSize(networks=networks, parts=parts, device=device, identity=digests())
