"""What a Wan transformer is told beside latents: picture tokens of the reference and tokens of a prompt."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from emosh_core import models
from emosh_core.durable import durable_file
from emosh_core.errors import AssetError, ConfigError, MissingDependencyError
from emosh_core.generate.pixels import to_tensor
from emosh_core.generate.wan.parts import CLIP, PROMPT, TEXT, fetch, prompt_file
from emosh_core.generate.wan.registry import TOKENS

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def picture_encoder(folder: Path, device: torch.device | str, *, width: int) -> Callable[[np.ndarray], Tensor]:
    """Load CLIP; it is forgotten with the function that is returned.

    Args:
        width: of the tokens that the transformer takes.

    Returns:
        Encodes square pictures (N, R, R, 3) uint8: (N, tokens, width) of the last layer but one [fp32].

    Raises:
        AssetError: the folder holds no picture encoder that transformers can read, or that of another network.
    """
    CLIPVisionModel = _transformers("CLIPVisionModel")
    network = _load(CLIPVisionModel, folder).to(device).eval()
    side, have = network.config.image_size, network.config.hidden_size
    if have != width:
        found = f"{folder}: width {have}, the transformer takes {width}"
        raise AssetError("the picture encoder is another one", found=found, fix=fetch(CLIP))
    mean, std = (torch.tensor(values, device=device).reshape(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))

    @torch.no_grad()
    def encode(pictures: np.ndarray) -> Tensor:
        pixels = to_tensor(pictures, device).movedim(-4, -3)
        pixels = torch.nn.functional.interpolate(pixels, (side, side), mode="bicubic", antialias=True).clamp(-1, 1)
        seen = network(pixel_values=((pixels + 1) / 2 - mean) / std, output_hidden_states=True)
        return seen.hidden_states[-2].float()

    return encode


def prompt_tokens(prompt: str, text: Path | None, width: int, device: str) -> Tensor:
    """Return the embedding (1, 512, width) of a prompt [fp32], encoding it if that was never done.

    No prompt is all zeros: what the transformer is told behind the end of every text.

    Args:
        text: folder with text_encoder and tokenizer.

    Raises:
        ConfigError: there is no text encoder for a new prompt.
        AssetError: an embedding is of another width, or the text encoder cannot be read.
    """
    if not prompt:
        return torch.zeros(1, TOKENS, width)
    file = prompt_file(prompt)
    kept = _read(file) if file.is_file() else None
    if kept is None or kept.shape[1] != width:
        if text is None:
            raise ConfigError("a prompt needs the text encoder once", found="no text_encoder", fix=fetch(TEXT))
        kept = _encode(prompt, text, device)
        file.parent.mkdir(parents=True, exist_ok=True)
        with durable_file(file) as temporary:
            save_file({"prompt": kept}, temporary, metadata={"format": "pt", "text": prompt})
    return _padded(kept, width, file)


def registered_tokens(width: int) -> Tensor | None:
    """Return the embedding (1, 512, width) that is registered as wan-prompt; None without one.

    Raises:
        AssetError: it is of another width, or was changed since.
    """
    if models.registered(PROMPT) is None:
        return None
    path = Path(models.require(PROMPT).path)
    return _padded(_read(path), width, path)


@torch.no_grad()
def _encode(prompt: str, folder: Path, device: str) -> Tensor:
    """Return the embedding (tokens, width) of a text, as long as it is."""
    UMT5EncoderModel, AutoTokenizer = _transformers("UMT5EncoderModel"), _transformers("AutoTokenizer")
    tokenizer = _load(AutoTokenizer, folder / "tokenizer")
    network = _load(UMT5EncoderModel, folder / "text_encoder", dtype=torch.bfloat16).to(device).eval()
    said = tokenizer(prompt, max_length=TOKENS, truncation=True, return_tensors="pt").to(device)
    encoded = network(input_ids=said["input_ids"], attention_mask=said["attention_mask"]).last_hidden_state
    return encoded[0].cpu().contiguous()


def _padded(embedding: Tensor, width: int, path: Path | str) -> Tensor:
    """Return an embedding as long as the transformer takes it; zeros follow the text."""
    if embedding.shape[1] != width:
        found = f"{path}: width {embedding.shape[1]}, the transformer takes {width}"
        raise AssetError("a prompt's embedding is of another text encoder", found=found, fix="emosh models remove "
                         "wan-prompt, or give the embedding of Wan's umT5")  # fmt: skip
    whole = torch.zeros(1, TOKENS, width)
    whole[0, : len(embedding)] = embedding.float()
    return whole


def _read(path: Path) -> Tensor:
    try:
        return load_file(path)["prompt"]
    except (OSError, KeyError, SafetensorError) as error:
        found = f"{path}: {error}"
        raise AssetError("a prompt's embedding cannot be read", found=found, fix=f"delete {path}") from error


def _load(kind: type, folder: Path, **options):
    """Read a folder of transformers, without a look at any hub."""
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        found = f"{folder}: {(str(error).splitlines() or [type(error).__name__])[0]}"
        what = "transformers cannot read a part of the checkpoint"
        raise AssetError(what, found=found, fix="fetch it again") from error


def _transformers(name: str):
    try:
        import transformers

        return getattr(transformers, name)
    except ImportError as error:
        what = "a full-size generator needs the package transformers"
        raise MissingDependencyError(what, found=str(error), fix='pip install "emosh[diffusion]"') from error
