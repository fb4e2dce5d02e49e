"""What `emosh models add` looks for in each part of a Wan checkpoint: headers and names, before weights are read."""

from pathlib import Path

from emosh_core.errors import AssetError
from emosh_core.generate.wan.files import open_source, read_header
from emosh_core.generate.wan.keys import identify
from emosh_core.generate.wan.load import examine
from emosh_core.generate.wan.parts import CLIP, PLACES, TEXT, VAE, fetch
from emosh_core.generate.wan.vae import load_vae

TOKENS = 512
"""Length of a text that the transformer is told."""


def look_at_checkpoint(path: Path) -> None:
    """Look into a transformer and into what its folder holds besides."""
    examine(path)
    for kind, look in ((VAE, look_at_vae), (CLIP, look_at_clip)):
        inside = next((path / name for name in PLACES[kind] if (path / name).exists()), None)
        if inside is not None:
            look(inside)


def look_at_vae(path: Path) -> None:
    """Read a VAE, which is small."""
    load_vae(path)


def look_at_clip(folder: Path) -> None:
    """Look into a picture encoder: its configuration is there and its files are whole."""
    _settings(folder, CLIP)
    stored = open_source(folder, "image_encoder").stored
    if not any("embeddings.patch_embedding" in name for name in stored):
        found = f"{folder}: {identify({name: entry.shape for name, entry in stored.items()}).text}"
        raise AssetError("not the picture encoder of Wan", found=found, fix=fetch(CLIP))


def look_at_text(folder: Path) -> None:
    """Look into a text encoder: tokenizer and configuration are there and its files are whole."""
    folder = folder.parent if folder.name == "text_encoder" else folder
    if not (folder / "tokenizer").is_dir():
        raise AssetError("a text encoder needs its tokenizer", found=f"no {folder / 'tokenizer'}", fix=fetch(TEXT))
    _settings(folder / "text_encoder", TEXT)
    open_source(folder, "text_encoder")


def look_at_prompt(path: Path) -> None:
    """Look into the embedding of a prompt: (tokens, width) as `prompt`."""
    stored = read_header(path)
    shape = stored["prompt"].shape if "prompt" in stored else ()
    if len(shape) != 2 or shape[0] > TOKENS:
        found = ", ".join(f"{name} {entry.shape}" for name, entry in list(stored.items())[:3]) or "no tensor"
        fix = "run once with --prompt and take the file in the folder `prompts` of `emosh models list`"
        raise AssetError(f"not a tensor `prompt` (up to {TOKENS}, width)", found=f"{path}: {found}", fix=fix)


def _settings(folder: Path, kind: str) -> None:
    if not (folder / "config.json").is_file():
        raise AssetError(f"{kind} needs a folder as transformers writes it", found=f"no {folder / 'config.json'}",
                         fix=fetch(kind))  # fmt: skip
