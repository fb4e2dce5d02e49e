"""How a diffusion generator samples and computes: four tables of plain settings, each of which a setting overrides."""

from dataclasses import dataclass, replace
from typing import Literal

from emosh_core.errors import ConfigError
from emosh_core.settings import AnimateConfig


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Settings that belong together; 0, () and "spec" take what the generator was made for."""

    solver: Literal["unipc", "euler"] = "unipc"
    steps: int = 0
    sigmas: tuple[float, ...] = ()
    """Times to stop at before the shift, from 1 down; for Euler's method alone."""
    shift: float = 0.0
    precision: Literal["spec", "fp32", "bf16", "fp8"] = "spec"
    """fp8 stores the weights in 8 bits and computes in bf16: half the memory, no gain in speed."""
    offload: Literal["none", "blocks"] = "none"
    """Keep the transformer's blocks in main memory and bring each to the device as it is needed."""
    compile: Literal["off", "on", "auto"] = "off"
    """Compile the blocks: half a minute once, then a sixth less time per step (H200); auto does where that pays: a
    full-size transformer on CUDA."""
    cache: Literal["off", "first_block"] = "off"
    """Skip the other blocks in steps in which the first one hardly changes anything."""


PROFILES = {
    "quality": Profile(compile="auto"),
    "balanced": Profile(compile="auto", cache="first_block"),
    # The list of the step-distilled LoRAs (lightx2v): times 1000, 937.5, 833.3, 625 once they are shifted by 5.
    "fast": Profile(solver="euler", sigmas=(1.0, 0.75, 0.5, 0.25), shift=5.0, compile="auto"),
    "lowvram": Profile(precision="fp8", offload="blocks"),
}


def profile_of(config: AnimateConfig) -> Profile:
    """Return the profile that settings name, with what they say otherwise.

    Raises:
        ConfigError: sigmas are given to a solver that chooses its own.
    """
    profile = PROFILES[config.profile]
    said = {name: getattr(config, name) for name in ("solver", "precision", "offload", "compile", "cache")}
    profile = replace(profile, **{name: value for name, value in said.items() if value != "profile"})
    if config.shift:
        profile = replace(profile, shift=config.shift)
    if config.sigmas:
        if config.solver == "unipc" or config.steps not in (0, len(config.sigmas)):
            found = f"solver = {config.solver}, steps = {config.steps}, {len(config.sigmas)} sigmas"
            raise ConfigError("sigmas are the steps of Euler's method", found=found, fix='solver = "euler", steps = 0')
        return replace(profile, solver="euler", sigmas=config.sigmas, steps=len(config.sigmas))
    steps = config.steps or profile.steps or len(profile.sigmas)
    keeps = profile.solver == "euler" and steps == len(profile.sigmas)
    return replace(profile, steps=steps, sigmas=profile.sigmas if keeps else ())
