"""The networks of a diffusion generator: diffusers' Wan transformer and Wan VAE, with what both need to know.

On disk a pair is one folder: `transformer/` and `vae/` as diffusers writes them (config.json and
safetensors) and `generator.json` with the fields of `Spec`.
"""

import json
import math
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from emosh_core.device import computes_bf16
from emosh_core.errors import AssetError, MissingDependencyError
from emosh_core.generate.flow_matching import velocity_from_z0
from emosh_core.generate.layout import MASK_CHANNELS, latent_count, model_channels

SHARD = 14 << 20
"""Largest file of weights [bytes]."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """How a pair was trained, which is how it must be used."""

    resolution: int
    """Side of the square pictures [px]."""
    window: int
    """Frames per chunk, 4k + 1."""
    overlap: int
    """Frames that a chunk shares with the one before it, 4k + 1."""
    prediction: Literal["z0", "velocity", "correction"]
    """What the transformer's output means; a correction is added to the condition's latents and gives z0."""
    cond_fill: Literal["paste", "reference", "preview", "animate"] = "paste"
    """Condition of latent frames to be made, temporal latents pasted over it: encoded grey frames, the reference's
    latent repeated, or the encoded pictures of the preview generator. As in Wan-Animate: the tail of the previous
    chunk and grey frames behind it, encoded in one pass, so that the tail reaches into the latents of the grey."""
    given: Literal["noised", "clean", "free"] = "noised"
    """Noisy channels of reference, aligned and temporal latents: on their true path from noise, without noise at any
    time, or made by the network like the others, as in Wan-Animate."""
    handover: Literal["latents", "fade"] = "latents"
    """What a chunk takes over: the previous one's tail as temporal latents; or nothing but the difference at the join,
    which fades, for networks that are shown the preview and whose own errors would grow from chunk to chunk."""
    anchor: Literal["prev", "prev-new", "first", "none"] = "prev"
    """Aligned latent of a chunk: first frame of the previous window, the first frame that was new in it, the first
    frame of the video, or no such latent."""
    aligned_motion: Literal["none", "own"] = "none"
    """Whether the aligned latent is given the condition picture of its moment."""
    rope: Literal["contiguous", "pinned"] = "contiguous"
    """Position of the aligned latent: in its place, or behind the clip, which then keeps its positions."""
    steps: int = 20
    """Sampling steps per chunk, unless somebody wants another number."""
    shift: float = 3.0
    """How much of the sampling goes to high noise; 1 is uniform."""
    shift_tokens: int = 0
    """Number of tokens that `shift` is for; with more or fewer it goes with the square root. 0: for any number."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What the transformer computes in when it samples; bf16 only where the device does that natively."""
    detail: bool = False
    """Frames are the preview's plus what the decoded latents differ by: what the VAE cannot hold stays sharp."""

    @property
    def tail_latents(self) -> int:
        """How many latent frames two chunks share."""
        return latent_count(self.overlap)

    @property
    def shows_preview(self) -> bool:
        """Whether the preview generator's pictures are needed."""
        return self.detail or self.cond_fill == "preview"


@dataclass(frozen=True)
class Networks:
    """A transformer and the VAE whose latents it works on."""

    transformer: torch.nn.Module
    vae: torch.nn.Module
    spec: Spec
    context: Mapping[str, Tensor] = field(default_factory=dict)
    """What the transformer is told beside the latents, by the name of its argument: text and picture tokens
    (1, tokens, width). Empty for networks of ours, which are told a constant."""
    unguided: Mapping[str, Tensor] = field(default_factory=dict)
    """The same for the second pass of guidance: what is not wanted."""

    @property
    def device(self) -> torch.device:
        return next(self.vae.parameters()).device

    @property
    def shift(self) -> float:
        """The spec's shift for as many tokens as a first chunk has."""
        _, frames, height, width = self.latent_shape()
        tokens = (frames + 1) * (height // 2) * (width // 2)
        return self.spec.shift * (math.sqrt(tokens / self.spec.shift_tokens) if self.spec.shift_tokens else 1)

    def to(self, device: torch.device | str) -> "Networks":
        """Move both networks."""
        self.transformer.to(device)
        self.vae.to(device)
        return self

    def latent_shape(self) -> tuple[int, int, int, int]:
        """Return (C, F, H, W) of the latents of one window."""
        config = self.vae.config
        side = self.spec.resolution // config.scale_factor_spatial
        return config.z_dim, latent_count(self.spec.window), side, side

    def _statistics(self) -> tuple[Tensor, Tensor]:
        config = self.vae.config
        values = torch.tensor([config.latents_mean, config.latents_std], device=self.device)
        return tuple(values.reshape(2, 1, -1, 1, 1, 1))

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """Encode (B, 3, 4k + 1, R, R) in [−1, 1] to normalised latents (B, C, k + 1, H, W)."""
        latent_count(video.shape[2])
        mean, std = self._statistics()
        # The mode, never a sample: the same frames must always give the same latents.
        return (self.vae.encode(video.to(self.device)).latent_dist.mode() - mean) / std

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode normalised latents (B, C, k + 1, H, W) to (B, 3, 4k + 1, R, R) in [−1, 1]."""
        mean, std = self._statistics()
        return self.vae.decode(latents * std + mean).sample

    def grey_latents(self, side: int = 0) -> Tensor:
        """Encode a window of mid-grey frames of some side [px]: (1, C, F, H, W). Not constant over time."""
        side = side or self.spec.resolution
        return self.encode(torch.zeros(1, 3, self.spec.window, side, side))

    def velocity(
        self, zt: Tensor, t: Tensor, channels: Tensor, context: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Predict the velocity of z_t.

        Args:
            zt: (B, C, L, H, W) noisy latents.
            t: (B,) times in [0, 1].
            channels: (B, 2C + 5, L, H, W) from `Conditions.channels`.
            context: in place of the usual one.
        """
        # One zero token: its projection is a learnt constant, which is all that a fixed prompt is.
        constant = {"encoder_hidden_states": zt.new_zeros(1, 1, self.transformer.config.text_dim)}
        own = self.transformer.patch_embedding.weight.dtype
        given = {name: value.to(own).expand(len(zt), -1, -1)
                 for name, value in (context or self.context or constant).items()}  # fmt: skip
        hidden = torch.cat([zt, channels], 1).to(own)
        half = self.spec.precision == "bf16" and own == torch.float32 and not torch.is_grad_enabled()
        half = half and computes_bf16(self.device)
        with torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext():
            output = self.transformer(hidden, timestep=1000 * t, return_dict=False, **given)[0]
        output = output.to(zt.dtype)
        if self.spec.prediction == "correction":
            count = zt.shape[1]
            output = output + channels[:, MASK_CHANNELS : MASK_CHANNELS + count]
        return output if self.spec.prediction == "velocity" else velocity_from_z0(zt, output, t)


def wan_classes() -> tuple[type, type]:
    """Import the classes of the VAE and the transformer, or say which extra they come with."""
    try:
        from diffusers import AutoencoderKLWan, WanTransformer3DModel
    except ImportError as error:
        raise MissingDependencyError(
            "diffusion generators need the package diffusers",
            found=str(error),
            fix='pip install "emosh[diffusion]", or animate with generator = "preview"',
        ) from error
    # diffusers keeps these norms in fp32 on purpose; under autocast torch says each time that it noticed.
    warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight", category=UserWarning)
    return AutoencoderKLWan, WanTransformer3DModel


def build(spec: Spec, *, heads: int, head_width: int, layers: int, vae_width: int, seed: int) -> Networks:
    """Build a small, randomly initialised pair of the real classes: 8× spatial VAE, 16 latent channels.

    The VAE folds 2 × 2 pixels into channels first, as Wan 2.2's does: a third of the time on a CPU.

    Args:
        heads, head_width, layers: size of the transformer.
        vae_width: channels of the VAE's first stage.
        seed: of the random weights.
    """
    AutoencoderKLWan, WanTransformer3DModel = wan_classes()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = AutoencoderKLWan(
            base_dim=vae_width,
            dim_mult=[1, 2, 4],
            num_res_blocks=1,
            temperal_downsample=[True, True],
            z_dim=16,
            patch_size=2,
            in_channels=12,
            out_channels=12,
            latents_mean=[0.0] * 16,
            latents_std=[1.0] * 16,
        )
        transformer = WanTransformer3DModel(
            num_attention_heads=heads,
            attention_head_dim=head_width,
            in_channels=model_channels(16),
            out_channels=16,
            text_dim=64,
            ffn_dim=4 * heads * head_width,
            num_layers=layers,
        )
    _inflate(vae)
    # A fresh network then predicts 0, not noise of its own.
    torch.nn.init.zeros_(transformer.proj_out.weight)
    torch.nn.init.zeros_(transformer.proj_out.bias)
    return Networks(transformer.eval(), vae.eval(), spec)


@torch.no_grad()
def _inflate(vae: torch.nn.Module) -> None:
    """Make a fresh VAE see each frame by itself, so that what it learns from stills holds for clips.

    Its causal convolutions look at the present frame only and its resampling in time repeats the
    newest one; training grows the rest. Scaled by 3, a layer keeps the spread of what it is given:
    torch's own start shrinks it by √3, and leaving two of three taps empty by √3 again.
    """
    for name, layer in vae.named_modules():
        if not isinstance(layer, torch.nn.Conv3d) or layer.kernel_size[0] == 1:
            continue
        layer.weight[:, :, :-1] = 0
        layer.weight *= 3
        if name.endswith("time_conv"):
            copies = layer.out_channels // layer.in_channels
            layer.weight[:, :, -1, 0, 0] = torch.eye(layer.in_channels).repeat(copies, 1)
            layer.bias.zero_()


def save(networks: Networks, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write a pair to a folder, its weights as they are or as `dtype`."""
    for name in ("transformer", "vae"):
        network = getattr(networks, name)
        save_network(folder / name, network, network.state_dict(), dtype=dtype)
    save_spec(folder, networks.spec)


def save_spec(folder: Path, spec: Spec) -> None:
    """Write how a pair is used."""
    (folder / "generator.json").write_text(json.dumps(asdict(spec), indent=2) + "\n")


def save_network(
    folder: Path, network: torch.nn.Module, state: dict[str, Tensor], *, dtype: torch.dtype | None = None
) -> None:
    """Write a network's configuration and some weights of it, in the files that diffusers reads."""
    network.save_config(folder)
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, value in state.items():
        value = (value if dtype is None else value.to(dtype)).detach().cpu().contiguous()
        if shards[-1] and size + value.nbytes > SHARD:
            shards.append({})
            size = 0
        shards[-1][name] = value
        size += value.nbytes
    names = [f"diffusion_pytorch_model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
    names = names if len(shards) > 1 else ["diffusion_pytorch_model.safetensors"]
    for name, shard in zip(names, shards):
        save_file(shard, folder / name, metadata={"format": "pt"})
    if len(shards) > 1:
        index = {key: name for name, shard in zip(names, shards) for key in shard}
        total = sum(value.nbytes for shard in shards for value in shard.values())
        index = {"metadata": {"total_size": total}, "weight_map": index}
        (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def load(folder: Path, device: torch.device | str = "cpu") -> Networks:
    """Read a pair that `save` wrote; safetensors only."""
    AutoencoderKLWan, WanTransformer3DModel = wan_classes()
    path = folder / "generator.json"
    if not path.is_file():
        raise AssetError(f"{folder} holds no generator", found=f"no {path.name}", fix="train one with `emosh train`")
    spec = read_spec(json.loads(path.read_text()), path)
    transformer = _read(WanTransformer3DModel, folder / "transformer")
    vae = _read(AutoencoderKLWan, folder / "vae")
    return Networks(transformer.eval(), vae.eval(), spec).to(device)


def read_spec(values: dict, path: Path) -> Spec:
    """Make a spec of what a file says; fields that an older version did not write have their defaults.

    Raises:
        AssetError: a field is missing, unknown, or of an unknown value.
    """
    known = {each.name for each in fields(Spec)}
    needed = {each.name for each in fields(Spec) if each.default is MISSING}
    wrong = [key for key, choices in _choices().items() if key in values and values[key] not in choices]
    if not needed <= set(values) <= known or wrong:
        raise AssetError(
            f"{path} is not what this version writes",
            found=json.dumps(values),
            fix="train again with `emosh train --force`, or use the version of emosh that wrote it",
        )
    return Spec(**values)


def _choices() -> dict[str, tuple[str, ...]]:
    """Return what the fields of `Spec` that name something may be."""
    hints = get_type_hints(Spec)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}


def _read(kind: type, folder: Path) -> torch.nn.Module:
    """Read what `save_pretrained` wrote, all of it and nothing else, without a look at any hub."""
    try:
        network = kind.from_config(json.loads((folder / "config.json").read_text()))
        state: dict[str, Tensor] = {}
        for shard in sorted(folder.glob("*.safetensors")):
            state |= load_file(shard)
        network.load_state_dict(state, strict=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise AssetError("a network cannot be read", found=f"{folder}: {error}", fix="train again") from error
    return network
