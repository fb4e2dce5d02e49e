"""Settings of the stages that run networks; see `emosh_core.settings`, where all sections stand together."""

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, get_args, get_origin, get_type_hints

from emosh_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AnimateConfig:
    """Settings of `emosh animate`."""

    generator: str = "auto"
    """`wan` (a full-size model; `emosh models add wan`), `mini` (a small diffusion model that ships with the package),
    `preview` (textured mesh, no network), a training run, for example `runs/first`, or `auto` for the best there is."""
    seed: int = 0
    """Seed of the noise; each chunk derives its own from it."""
    profile: Literal["quality", "balanced", "fast", "lowvram"] = "quality"
    """How a diffusion generator samples; the settings below override it. `balanced` skips work; `fast` is
    four steps, for a step-distilled LoRA; `lowvram` keeps 8-bit weights in main memory."""
    steps: int = 0
    """Sampling steps per chunk of a diffusion generator; 0 takes as many as profile or generator are made for."""
    shift: float = 0.0
    """How much of the sampling goes to high noise, 1 is uniform; 0 takes what profile or generator are made for."""
    sigmas: tuple[float, ...] = ()
    """Noise levels of the steps before the shift, from 1 down, for Euler's method; empty spaces them evenly."""
    solver: Literal["profile", "unipc", "euler"] = "profile"
    """Integrator of a diffusion generator."""
    precision: Literal["profile", "spec", "fp32", "bf16", "fp8"] = "profile"
    """What the transformer computes in; spec is what it was made for, fp8 stores 8 bits and computes in bf16."""
    offload: Literal["profile", "none", "blocks"] = "profile"
    """Whether the transformer's blocks wait in main memory until they are needed."""
    compile: Literal["profile", "off", "on", "auto"] = "profile"
    """Whether the transformer's blocks are compiled; auto does where it pays: a full-size one on CUDA."""
    cache: Literal["profile", "off", "first_block"] = "profile"
    """Whether steps that change little are cut short."""
    loras: tuple[str, ...] = ()
    """LoRA weights on top of the transformer, each FILE.safetensors, a folder that `emosh train` exported, or a run,
    with a weight behind a colon: `runs/first:1.0`."""
    lora_mode: Literal["fused", "adapters"] = "fused"
    """Add LoRA to the weights, or compute it beside them with peft: exact in bf16, and slower."""
    prompt: str = ""
    """What is to be seen, for generator wan; empty takes the embedding that is registered as wan-prompt, else zeros."""
    guidance: float = 1.0
    """Strength of the prompt against the negative one; above 1 every step takes twice the time."""
    negative_prompt: str = ""
    """What is not to be seen, where guidance is above 1."""
    resolution: int = 0
    """Side of the square that is sampled [px], a multiple of 16; 0 takes what the generator was made for."""
    chunks: int = 0
    """How many chunks to make, from the start of the clip; 0 makes all."""
    window: int = 0
    """Frames per chunk, 4k + 1 for networks; 0 takes what the generator was made for, less for clips that are shorter
    or devices with less memory."""
    parallel: str = field(default="", metadata={"affects_result": False})
    """`context:N` splits each forward pass among N GPUs of one machine (torchrun; nobody ran it on two GPUs yet)."""

    def __post_init__(self):
        for key, usual in (("seed", 0), ("chunks", 0), ("window", 33), ("steps", 20), ("shift", 3.0)):
            if getattr(self, key) < 0:
                fix = f"{key} = 0" + (f", or {usual}" if usual else "")
                raise ConfigError(f"animate.{key} must not be negative", found=str(getattr(self, key)), fix=fix)
        if self.guidance < 1:
            raise ConfigError("animate.guidance must be at least 1", found=str(self.guidance), fix="guidance = 1.0")
        if self.resolution < 0 or self.resolution % 16:
            found, fix = str(self.resolution), "resolution = 0, or 512"
            raise ConfigError("animate.resolution must be a multiple of 16", found=found, fix=fix)
        if self.parallel and not re.fullmatch(r"context:[1-9]\d*", self.parallel):
            fix = 'parallel = "" or "context:2"'
            raise ConfigError("animate.parallel is unknown", found=self.parallel, fix=fix)
        levels = self.sigmas
        if levels and not (levels[0] == 1 and levels[-1] > 0 and all(a > b for a, b in pairwise(levels))):
            found, fix = str(list(levels)), "sigmas = [1.0, 0.75, 0.5, 0.25]"
            raise ConfigError("animate.sigmas must fall from 1 and stay above 0", found=found, fix=fix)
        for key, type_ in get_type_hints(AnimateConfig).items():
            if get_origin(type_) is Literal and getattr(self, key) not in get_args(type_):
                fix = " or ".join(f'"{choice}"' for choice in get_args(type_))
                raise ConfigError(f"animate.{key} is unknown", found=str(getattr(self, key)), fix=f"{key} = {fix}")

    @property
    def gpus(self) -> int:
        """Return among how many GPUs a forward pass is split."""
        return int(self.parallel.partition(":")[2] or 1)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `emosh train`."""

    name: str = "first"
    """Name of the run; it lies in `runs/NAME`."""
    base: str = "auto"
    """What is trained on: `wan` (the registered full-size model, which gets a LoRA), `mini`, a finished run, for
    example `runs/first`, `scratch` for new networks, or `auto` for mini where the package holds its weights, else new
    networks."""
    method: Literal["auto", "lora", "full"] = "auto"
    """Train a small adapter beside the frozen transformer, or all of it; `auto` adapts what is trained already."""
    rank: int = 32
    """Rank of the adapter."""
    people: int = 0
    """Train on so many synthetic people instead of the tracked clips."""
    assets: str = ""
    """Folder of an asset pack that two thirds of the synthetic people are dressed from; empty paints all of them."""
    photos: str = ""
    """Folder of pictures of places that a quarter of the synthetic people stand before; empty draws all backgrounds."""
    filter: bool = True
    """Leave out tracked clips without a face, with too small a face, with hidden hands, or static ([filter])."""
    steps: int = 200
    """Steps of the transformer; 0 trains a new VAE alone."""
    vae_steps: int = 400
    """Steps of a new VAE before it; it is frozen afterwards."""
    resolution: int = 256
    """Side of the square pictures [px], a multiple of 16."""
    window: int = 17
    """Frames per chunk of new networks and of wan, which is made for 77 (and a resolution of 512); 4k + 1."""
    overlap: int = 5
    """Frames that chunks of new networks and of wan share, 4k + 1; wan is made for 5, or 1."""
    stride: int = 8
    """Frames between the starts of training windows."""
    references: int = 4
    """References per tracked clip; each window gets one from another moment."""
    batch: int = 2
    """Windows per micro-batch of the transformer."""
    accumulate: int = 1
    """Micro-batches per process and step."""
    vae_batch: int = 2
    """Clips per micro-batch of the VAE."""
    lr: float = 3e-4
    """Highest learning rate of the transformer; it ends at 2 % of that."""
    vae_lr: float = 1e-3
    """The same of the VAE."""
    warmup: int = 50
    """Steps over which each phase raises its learning rate to the full one."""
    ema: float = 0.999
    """How much of the averaged weights each step keeps in the long run; the average is what animates."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 computes with half the bits where that is safe: twice as fast where the machine can. wan computes in bf16
    where the device does so natively, whatever this says."""
    zero: Literal[0, 1, 2, 3] = field(default=0, metadata={"affects_result": False})
    """DeepSpeed's ZeRO stage: what the processes of `torchrun` share out; 0 is for one process."""
    gradient_checkpointing: bool = field(default=False, metadata={"affects_result": False})
    """Compute activations twice instead of keeping them: less memory, a third more time."""
    shift: float = 3.0
    """How far training times lean towards noise; 1 is plain logit-normal. New networks are sampled with it too; wan
    has its own: 5 at full size, less for smaller pictures."""
    prediction: Literal["z0", "velocity", "correction"] = "correction"
    """What a new transformer predicts; the loss is in velocity space either way."""
    cond_fill: Literal["paste", "reference", "preview"] = "preview"
    """What a new transformer is shown where frames are to be made: grey, the reference, or the preview's pictures."""
    detail: bool = True
    """Frames of new networks keep the preview's detail where the two agree."""
    sampling_steps: int = 8
    """Sampling steps per chunk that new networks are made for."""
    temporal: float = 0.5
    """Share of micro-batches with the tail of the previous chunk given."""
    aligned: float = 0.1
    """Share of those that also have the spatially aligned latent."""
    warp: float = 0.5
    """Share of references that are warped."""
    heads: int = 4
    """Attention heads of a new transformer."""
    head_width: int = 64
    """Channels per head."""
    layers: int = 8
    """Blocks of a new transformer."""
    vae_width: int = 32
    """Channels of a new VAE's first stage."""
    seed: int = 0
    """Seed of weights, batches and noise."""
    checkpoint_every: int = 100
    """Steps between checkpoints, all phases."""
    pictures: bool = True
    """Draw a sheet of what the generator makes at each checkpoint; never of wan, which fits a GPU but once."""
    minutes: float = field(default=0.0, metadata={"affects_result": False})
    """Stop with a checkpoint after so many minutes; the same command goes on. 0 trains to the end."""

    def __post_init__(self):
        if not re.fullmatch(r"[\w-][\w.-]*", self.name):
            raise ConfigError("train.name must be a plain folder name", found=repr(self.name), fix="--name first")
        for key in ("window", "overlap"):
            if getattr(self, key) % 4 != 1:
                raise ConfigError(f"train.{key} must be 4k + 1", found=str(getattr(self, key)), fix=f"{key} = 5 or 17")
        if self.overlap >= self.window:
            raise ConfigError("train.overlap must be below train.window", found=f"{self.overlap} and {self.window}")
        if self.resolution % 16 or self.resolution < 16:
            raise ConfigError("train.resolution must be a multiple of 16", found=str(self.resolution), fix="128 or 256")
        if self.base == "scratch" and self.method == "lora":
            found, fix = "base = scratch, method = lora", "method = full, or base = mini"
            raise ConfigError("an adapter needs trained networks to adapt", found=found, fix=fix)
        if self.base == "wan" and self.method == "full":
            found, fix = "base = wan, method = full", "--set method=lora"
            raise ConfigError("of wan only an adapter is trained", found=found, fix=fix)
        least = dict.fromkeys(("people", "minutes", "warmup"), 0) | dict.fromkeys(
            ("rank", "vae_steps", "stride", "references", "batch", "accumulate", "vae_batch",
             "sampling_steps", "checkpoint_every"), 1,
        )  # fmt: skip
        least["steps"] = 0 if self.base == "scratch" else 1
        for key, low in least.items():
            if getattr(self, key) < low:
                found, fix = str(getattr(self, key)), f"{key} = {low}"
                raise ConfigError(f"train.{key} must be at least {low}", found=found, fix=fix)
        for key, type_ in get_type_hints(TrainConfig).items():
            if get_origin(type_) is Literal and getattr(self, key) not in get_args(type_):
                fix = ", ".join(str(choice) for choice in get_args(type_))
                raise ConfigError(f"train.{key} is unknown", found=str(getattr(self, key)), fix=fix)
