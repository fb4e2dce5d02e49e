"""What training takes of each process's memory, from the sizes of the networks: before it starts, without trying.

Bytes per trained parameter at the moment of a step, with n processes (counted on the engine and DeepSpeed 0.19;
weights, moments, average and gradients are fp32 whatever the precision). ZeRO 3 alone shares out frozen weights:

                  weights   moments   average   gradients   DeepSpeed's copy and buffer
    one process      4         8         4          4
    ZeRO 1 and 2     4        8/n       4/n        4/n       4/n
    ZeRO 3          4/n       8/n       4/n        8/n       4/n + 4, the latter at most 0.8 GB in all

During the backward pass ZeRO 1 and 2 have that buffer too, stage 1 the gradients of all parameters, and stage 3 up to
4 GB of gathered weights.

Activations are what autograd keeps of a block of `WanTransformer3DModel` (diffusers 0.42), counted by its hooks with an
attention that keeps no scores. A frozen base in 8 or 4 bits is not offered: its networks are loaded as plain torch
modules, and no library that quantises them is among the extras.
"""

import re
from dataclasses import dataclass, replace

import torch

from emosh_core.generate.layout import latent_count
from emosh_core.generate.models import Networks
from emosh_core.settings import TrainConfig
from emosh_core.training import adapter

CARDS = (80, 40, 24)
"""Memory of usual GPUs [GB]."""
USABLE = 0.9
"""Share of it that a run may fill: CUDA, its libraries and fragments take the rest."""
RANKS = (2, 4, 8, 16, 32)
"""Numbers of processes that are tried for what would fit."""
BUCKET, LIVE = 200_000_000, 1_000_000_000
"""Parameters in DeepSpeed's buffer of gradients, and that ZeRO 3 gathers at once, at most."""
ADAPTED = 10
KEPT = {("full", "fp32"): 88.5, ("lora", "fp32"): 60.3, ("full", "bf16"): 68.4, ("lora", "bf16"): 47.5}
"""Bytes per token and channel that a block keeps for the backward pass, its feed-forward's inner layer excluded."""
KEPT_LOOKING = {"fp32": 8, "bf16": 2}
"""The same for the attention to picture tokens, in transformers that take them."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What memory depends on."""

    trained: int
    """Parameters."""
    frozen: int
    """The transformer's other weights [bytes]."""
    outside: int
    """The VAE and buffers [bytes]: on every process, whatever the ZeRO stage."""
    block: int
    """Parameters of one block in fp32, which bf16 rounds on the way."""
    width: int
    ffn: int
    layers: int
    tokens: int
    """Of the longest micro-batch: windows × latent frames × tokens per latent frame."""
    rank: int = 0
    """Of the adapter, which sits on ADAPTED layers of a block; 0 without one."""
    looks: bool = False
    """Whether the transformer takes picture tokens."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a run is laid out."""

    method: str
    """lora or full."""
    precision: str
    """fp32 or bf16."""
    checkpointing: bool = False
    zero: int = 0
    ranks: int = 1
    pictures: bool = False
    """Whether each checkpoint is read back beside the run, to draw what it makes."""

    def __str__(self) -> str:
        processes = "1 process" if self.ranks == 1 else f"{self.ranks} processes"
        recomputing = ", gradient checkpointing" if self.checkpointing else ""
        return f"{self.method}, {self.precision}, {processes}, ZeRO {self.zero}{recomputing}"

    def settings(self, before: "Layout") -> str:
        """Say what has to be set where another layout is set."""
        changes = []
        if not self.pictures and before.pictures:
            changes.append("--set pictures=false")
        if self.checkpointing and not before.checkpointing:
            changes.append("--set gradient_checkpointing=true")
        if self.zero != before.zero:
            changes.append(f"--set zero={self.zero}")
        changes = ["with", *changes] if changes else []
        return " ".join([*changes, *([f"on {self.ranks} processes"] if self.ranks != before.ranks else [])])


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one process."""

    weights: float
    gradients: float
    moments: float
    average: float
    """The running average of the trained parameters."""
    sharing: float
    """DeepSpeed's fp32 copy and its buffer."""
    activations: float
    """At the end of a forward pass, with what the backward pass needs at once, DeepSpeed's share of that included."""
    update: float
    """What AdamW needs besides while it steps, on CUDA; activations are gone by then."""
    reading: float
    """A checkpoint read back; activations are gone by then."""
    loading: float
    """The transformer before ZeRO 3 shares it out, and when it is measured at the end: whole on each process."""

    @property
    def held(self) -> float:
        """What stays from step to step, and the gradients."""
        return self.weights + self.gradients + self.moments + self.average + self.sharing

    @property
    def total(self) -> float:
        """The peak."""
        return max(self.held + max(self.activations, self.update, self.reading), self.loading)

    def __str__(self) -> str:
        parts = ("weights", "gradients", "moments", "average", "sharing", "activations", "reading", "loading")
        listed = ", ".join(f"{name} {_gb(value)}" for name in parts if (value := getattr(self, name)))
        return f"{listed}; at most {_gb(self.total)}"


def memory_of(sizes: Sizes, layout: Layout) -> Memory:
    """Return what a process needs, by the table above."""
    n, zero, four = layout.ranks, layout.zero, 4 * sizes.trained
    split = n if zero else 1
    whole = four + sizes.frozen
    bucket = 4 * min(sizes.trained, BUCKET)
    passing = {0: 0, 1: bucket + four * (1 - 1 / n), 2: bucket, 3: min(whole, 4 * LIVE)}[zero]
    return Memory(
        weights=whole / (n if zero == 3 else 1) + sizes.outside, gradients=four / split * (2 if zero == 3 else 1),
        moments=2 * four / split, average=four / split,
        sharing=(four / n if zero else 0) + (bucket if zero == 3 else 0),
        activations=activations(sizes, layout) + passing, update=four / split,
        reading=whole + sizes.outside if layout.pictures else 0, loading=whole + sizes.outside if zero == 3 else 0,
    )  # fmt: skip


def kept_by_block(sizes: Sizes, layout: Layout) -> float:
    """Return what one block keeps for its backward pass [bytes]; under bf16 also its weights, rounded."""
    half = layout.precision == "bf16"
    item = 2 if half else 4
    looking = KEPT_LOOKING[layout.precision] if sizes.looks else 0
    kept = (KEPT[layout.method, layout.precision] + looking) * sizes.width
    kept += item * (2 * sizes.ffn + ADAPTED * sizes.rank)
    rounded = sizes.block + (sizes.trained // sizes.layers if sizes.rank else 0)
    return sizes.tokens * kept + (2 * rounded if half else 0)


def activations(sizes: Sizes, layout: Layout) -> float:
    """Return what one micro-batch keeps and what the backward pass of a block works with [bytes]."""
    item = 2 if layout.precision == "bf16" else 4
    block = kept_by_block(sizes, layout)
    boundaries = item * sizes.tokens * sizes.width
    kept = sizes.layers * boundaries + block if layout.checkpointing else sizes.layers * block
    ends = 24 * sizes.tokens * sizes.width
    return kept + ends + item * sizes.tokens * (2 * sizes.ffn + 6 * sizes.width)


def advice(sizes: Sizes, layout: Layout) -> list[str]:
    """Say for each of CARDS whether a run fits it, or which setting would make it fit, the cheapest first."""
    lines = []
    for card in CARDS:
        room = USABLE * card * 1e9
        if memory_of(sizes, layout).total <= room:
            lines.append(f"{card} GB fits")
            continue
        fitting = (other for other in _others(layout) if memory_of(sizes, other).total <= room)
        found = next(fitting, None)
        lines.append(f"{card} GB fits " + (found.settings(layout) if found else "with no setting here"))
    return lines


def _others(layout: Layout):
    """Yield layouts that need less, the cheapest first."""
    bare = replace(layout, pictures=False)
    yield bare
    saving = replace(bare, checkpointing=True)
    yield saving
    more = [n for n in RANKS if n > layout.ranks]
    yield from (replace(saving, zero=3, ranks=n) for n in (layout.ranks, *more) if n > 1)


def describe(sizes: Sizes, layout: Layout) -> list[str]:
    """Return the lines that `emosh train` prints before it starts."""
    other = replace(layout, checkpointing=not layout.checkpointing)
    without = "without" if layout.checkpointing else "with"
    return [
        f"memory of each process ({layout}): {memory_of(sizes, layout)}",
        f"activations {without} gradient checkpointing: {_gb(memory_of(sizes, other).activations)}",
        "a GPU of " + "; ".join(advice(sizes, layout)),
    ]


def layout_of(config: TrainConfig, ranks: int) -> Layout:
    """Return how settings and the launcher lay a run out."""
    return Layout(
        method=config.method, precision=config.precision, checkpointing=config.gradient_checkpointing,
        zero=config.zero, ranks=ranks, pictures=config.pictures,
    )  # fmt: skip


def sizes_of(networks: Networks, config: TrainConfig, *, vae_stays: bool = True) -> Sizes:
    """Measure networks that are about to be trained; the adapter of a LoRA need not be there yet.

    Args:
        networks: on any device, the meta device too.
        vae_stays: whether the VAE keeps its place while the transformer is trained.
    """
    transformer, vae = networks.transformer, networks.vae
    count = sum(p.numel() for p in transformer.parameters())
    weights = sum(p.nbytes for p in transformer.parameters())
    net = transformer.config
    patch = net.patch_size[1] * net.patch_size[2]
    side = config.resolution // vae.config.scale_factor_spatial
    lora, outside = config.method == "lora", (*vae.parameters(), *vae.buffers())
    return Sizes(
        trained=_adapter_size(networks, config.rank) if lora else count, frozen=weights if lora else 0,
        outside=sum(value.nbytes for value in (*(outside if vae_stays else ()), *transformer.buffers())),
        block=sum(p.numel() for p in transformer.blocks[0].parameters() if p.dtype == torch.float32),
        width=net.num_attention_heads * net.attention_head_dim, ffn=net.ffn_dim, layers=net.num_layers,
        tokens=config.batch * (latent_count(networks.spec.window) + 2) * side**2 // patch,
        rank=config.rank if lora else 0, looks=net.added_kv_proj_dim is not None,
    )  # fmt: skip


def _adapter_size(networks: Networks, rank: int) -> int:
    """Return how many parameters an adapter adds: LoRA of both halves, and the motion embedding's correction."""
    pattern = adapter.targets(image_keys=False)
    modules = networks.transformer.named_modules()
    adapted = [layer for name, layer in modules if re.fullmatch(pattern, name)]
    low = sum(rank * (layer.in_features + layer.out_features) for layer in adapted)
    patch = networks.transformer.patch_embedding.weight
    return low + patch[:, : networks.vae.config.z_dim + 1].numel()


def _gb(size: float) -> str:
    return f"{size / 1e9:.3g} GB"
