"""Which generators there are, by name; imports nothing heavy, because planning needs the names only."""

import importlib.util
from importlib.resources import files
from pathlib import Path

AUTO, MINI, PREVIEW, SCRATCH = "auto", "mini", "preview", "scratch"


def mini_folder() -> Path:
    """Return where the weights of `mini` lie in the package."""
    return Path(str(files("emosh_core") / "assets" / "mini"))


def mini_ships() -> bool:
    """Whether the package holds weights of `mini`."""
    return (mini_folder() / "generator.json").is_file()


def choose_base(base: str, method: str) -> tuple[str, str]:
    """Return what `emosh train` begins with and how it trains, for settings that may be `auto`."""
    if base == AUTO:
        base = MINI if mini_ships() else SCRATCH
    return base, ("full" if base == SCRATCH else "lora") if method == AUTO else method


def choose(name: str) -> tuple[str, str]:
    """Return the generator that a setting means, and one line that says why; empty if it was named."""
    if name != AUTO:
        return name, ""
    if not mini_ships():
        return PREVIEW, "generator preview: the package holds no weights of mini"
    if importlib.util.find_spec("diffusers") is None:
        return PREVIEW, 'generator preview: mini, which ships with the package, needs `pip install "emosh[diffusion]"`'
    return MINI, "generator mini, which ships with the package: no weights of a full-size generator are registered"
