"""Where the parts of a Wan checkpoint lie: transformer, VAE, picture encoder, text encoder.

Paths only: planning asks here, so nothing heavy is imported and no weight is read. What was registered by
itself (`emosh models add wan-clip …`) goes before what lies in the checkpoint's folder.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from emosh_core import models
from emosh_core.errors import AssetError, ConfigError

WAN, VAE, CLIP, TEXT, PROMPT = "wan", "wan-vae", "wan-clip", "wan-text", "wan-prompt"
"""Kinds of the registry."""

VAE_FILES = ("Wan2.1_VAE.safetensors", "Wan2.1_VAE.pth", "wan_2.1_vae.safetensors")
"""Names of the VAE in folders that are not diffusers'."""
PLACES = {VAE: ("vae", *VAE_FILES), CLIP: ("image_encoder",), TEXT: ("text_encoder",)}
"""Kind of a part and where it may lie in a checkpoint's folder."""

_HUB = "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"
_FETCH = {
    VAE: f"huggingface-cli download {_HUB} --include 'vae/*' --local-dir wan, then emosh models add wan-vae wan/vae",
    CLIP: f"huggingface-cli download {_HUB} --include 'image_encoder/*' --local-dir wan, "
    "then emosh models add wan-clip wan/image_encoder",
    TEXT: f"huggingface-cli download {_HUB} --include 'text_encoder/*' 'tokenizer/*' --local-dir wan, "
    "then emosh models add wan-text wan",
}  # fmt: skip
_WORDS = {VAE: "VAE", CLIP: "picture encoder (CLIP, a folder as transformers writes it)", TEXT: "text encoder (umT5)"}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A checkpoint's parts; None where there is none."""

    transformer: Path
    """A file, a folder of weights, or a folder with the folder `transformer`."""
    vae: Path | None
    clip: Path | None
    text: Path | None
    """Folder that holds `text_encoder` and `tokenizer`."""

    @property
    def missing(self) -> list[str]:
        """Kinds of the parts without which no clip is made."""
        return [kind for kind, path in ((VAE, self.vae), (CLIP, self.clip)) if path is None]


def parts_of(path: Path) -> Parts:
    """Find the parts in a checkpoint's folder, and among what is registered by itself; a lone file brings none."""

    def find(kind: str) -> Path | None:
        entry = models.registered(kind)
        if entry is not None:
            return Path(entry.path)
        return next((path / name for name in PLACES[kind] if (path / name).exists()), None)

    text = find(TEXT)
    text = text.parent if text is not None and text.name == "text_encoder" else text
    return Parts(transformer=path, vae=find(VAE), clip=find(CLIP), text=text)


def registered_parts() -> Parts | None:
    """Return the parts of the checkpoint that is registered; None without one."""
    entry = models.registered(WAN)
    return None if entry is None else parts_of(Path(entry.path))


def ready() -> tuple[bool, str]:
    """Say whether a checkpoint is registered with all that a clip needs, and in words what is not there."""
    parts = registered_parts()
    if parts is None:
        return False, "no weights of a full-size generator are registered"
    if not parts.transformer.exists():
        return False, f"the registered Wan checkpoint is gone ({parts.transformer})"
    if parts.missing:
        lacking = " and ".join(_WORDS[kind] for kind in parts.missing)
        return False, f"the registered Wan checkpoint has no {lacking}; {'; '.join(map(fetch, parts.missing))}"
    return True, ""


def require_parts() -> Parts:
    """Return the parts of the registered checkpoint, certain that all is there that a clip needs.

    Raises:
        AssetError: none is registered, it was changed since, or a part is missing; `fix` says where to get it.
    """
    models.require(WAN)
    parts = registered_parts()
    for kind in parts.missing:
        found = f"{parts.transformer}: no {' or '.join(PLACES[kind])}"
        raise AssetError(f"the Wan checkpoint has no {_WORDS[kind]}", found=found, fix=fetch(kind))
    return parts


def digests() -> dict[str, str]:
    """Return the kind and digest of each registered part that decides about a clip.

    Raises:
        AssetError: of `require_parts`, or a part that was registered by itself was changed since.
    """
    require_parts()
    kinds = [WAN, *(kind for kind in (VAE, CLIP, PROMPT) if models.registered(kind))]
    return {kind: models.require(kind).sha256[:16] for kind in kinds}


def fetch(kind: str) -> str:
    """Return commands that bring a missing part."""
    return _FETCH[kind]


def prompt_file(prompt: str) -> Path:
    """Return where the embedding of a prompt is kept once it was made."""
    return models.folder() / "prompts" / f"{hashlib.sha256(prompt.encode()).hexdigest()[:16]}.safetensors"


def check_prompt(prompt: str) -> None:
    """Refuse a prompt that nothing can encode, before any work.

    Raises:
        ConfigError: there is no text encoder, and no embedding of this prompt is kept.
    """
    parts = registered_parts()
    if prompt and not prompt_file(prompt).is_file() and (parts is None or parts.text is None):
        found = "no text_encoder in the checkpoint's folder, and no embedding of this prompt is kept"
        raise ConfigError("a prompt needs the text encoder once", found=found, fix=fetch(TEXT))
