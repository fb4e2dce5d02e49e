"""What turns losses into parameter updates: AdamW with an average, in one process or over many by ZeRO.

Micro-batch m of rank r at step s is sample group (s, r · accumulate + m); a step descends the mean
over all groups. Two ranks with one group each therefore do what one rank does with two.

A saved engine holds whole tensors, not shards: any number of ranks, any ZeRO stage and a single
process continue from it alike.
"""

import atexit
import contextlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from emosh_core.errors import ArtifactError, ConfigError, MissingDependencyError
from emosh_core.training.descent import STATES, AveragingAdamW, Recipe, averaging_adamw, ema_decay, learning_rate

FILE_BYTES = 2**31
"""Size at which a saved engine begins its next file: as much as the writing rank holds at once [bytes]."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is, and where it computes."""

    rank: int
    world: int
    device: torch.device


def join_ranks(device: torch.device | str = "cpu") -> Ranks:
    """Meet the processes that `torchrun` or `deepspeed` launched with this one; alone without a launcher.

    Args:
        device: where to compute; of several ranks with CUDA each takes the device of its LOCAL_RANK.
    """
    device = torch.device(device)
    rank, world, local = (int(os.environ.get(k, v)) for k, v in {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}.items())
    if device.type == "cuda":
        device = torch.device("cuda", local if world > 1 else device.index or 0)
        torch.cuda.set_device(device)
    if world > 1 and not dist.is_initialized():
        _form_group(device)
    return Ranks(rank, world, device)


def leave_ranks() -> None:
    """Part from the other processes at the end of a run."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _form_group(device: torch.device, **place) -> None:
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", **place)
    if device.type == "cpu":  # gloo's threads abort a process that ends with them running
        atexit.register(leave_ranks)


class Engine:
    """What both engines share: schedule, averaging, saving. Every rank makes every call.

    Of the module, parameters with `requires_grad` are trained and saved; frozen ones and buffers
    are the caller's to build alike before `restore`.
    """

    optimiser: AveragingAdamW

    def __init__(self, module: nn.Module, recipe: Recipe, ranks: Ranks):
        self.module, self.recipe, self.ranks = module, recipe, ranks
        self.trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.shapes = {name: p.shape for name, p in self.trained.items()}  # ZeRO 3 empties the parameters
        self.steps = 0
        """Steps taken, over all calls and restarts."""

    @property
    def rank(self) -> int:
        return self.ranks.rank

    @property
    def world(self) -> int:
        return self.ranks.world

    def step(self, losses: Iterable[Callable[[], Tensor]]) -> float:
        """Take one step down the mean of `accumulate` losses per rank.

        Args:
            losses: each computes the scalar loss of one micro-batch of this rank, by way of the module.

        Returns:
            The mean loss over micro-batches and ranks, the same on each rank.

        Raises:
            ConfigError: the gradient is not finite; the parameters are as they were.
        """
        losses = list(losses)
        if len(losses) != self.recipe.accumulate:
            raise ValueError(f"{len(losses)} micro-batches where the recipe accumulates {self.recipe.accumulate}")
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe, self.steps)
        self.optimiser.decay = ema_decay(self.recipe, self.steps)
        values, stepped = self._descend(losses)
        mean = torch.stack(values).float().mean()
        if self.world > 1:
            dist.all_reduce(mean)
        mean = mean.item() / self.world
        if not stepped:
            raise ConfigError(
                "training diverged: the gradient is not finite",
                found=f"loss {mean:.4g} at step {self.steps} of this phase",
                fix="continue from the last checkpoint with a lower learning rate or in fp32",
            )
        self.steps += 1
        return mean

    def weights(self) -> dict[str, Tensor]:
        """Return the module's state dict with whole tensors on the CPU; empty on ranks other than 0."""
        return self._state_dict("weight")

    def ema_weights(self, *, frozen: bool = True) -> dict[str, Tensor]:
        """Return `weights`, with the average [fp32] in place of each trained parameter.

        Args:
            frozen: also those that are not trained, which may be many gigabytes.
        """
        return self._state_dict("ema", frozen=frozen)

    def save(self, folder: Path) -> None:
        """Write all that the next step depends on; rank 0 writes, into a folder that exists."""
        count = 0
        for count, tensors in enumerate(_portions(self._read_all()), 1):
            if self.rank == 0:
                save_file(tensors, folder / f"engine_{count:05d}.safetensors")
        if self.rank == 0:
            (folder / "engine.json").write_text(json.dumps({"steps": self.steps, "files": count}) + "\n")

    def restore(self, folder: Path) -> None:
        """Continue where `save` was called; rank 0 reads and hands out.

        Raises:
            ArtifactError: the folder holds no engine, or one of other parameters.
        """
        with contextlib.ExitStack() as files:
            steps, saved = _open(folder, self.shapes, files) if self.rank == 0 else (0, {})
            self.steps = int(self._hand_out(torch.tensor(float(steps))))
            for name, parameter in self.trained.items():
                for key in ("weight", *STATES):
                    value = torch.empty(self.shapes[name])
                    if self.rank == 0:
                        value = saved[f"{key}/{name}"].get_tensor(f"{key}/{name}")
                    self._write(parameter, key, self._hand_out(value))
        for state in self.optimiser.state.values():
            state["step"].fill_(self.steps)
        self._written()

    def _state_dict(self, key: str, *, frozen: bool = True) -> dict[str, Tensor]:
        found = {}
        for name, value in self.module.state_dict(keep_vars=True).items():
            if not frozen and name not in self.trained:
                continue
            whole = self._read(value, key) if name in self.trained else self._whole(value)
            if self.rank == 0:
                found[name] = whole.detach().to("cpu", copy=True)
        return found

    def _read_all(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self.trained.items():
            for key in ("weight", *STATES):
                yield f"{key}/{name}", self._read(parameter, key).detach()

    def _hand_out(self, value: Tensor) -> Tensor:
        value = value.to(self.ranks.device)
        if self.world > 1:
            dist.broadcast(value, 0)
        return value

    def _descend(self, losses: list[Callable[[], Tensor]]) -> tuple[list[Tensor], bool]:
        """Return each loss and whether the step was taken, which it is if the gradient is finite."""
        raise NotImplementedError

    def _read(self, parameter: nn.Parameter, key: str) -> Tensor:
        """Return a trained parameter's whole `weight`, or its whole state of that name."""
        raise NotImplementedError

    def _write(self, parameter: nn.Parameter, key: str, value: Tensor) -> None:
        """Replace what `_read` returns."""
        raise NotImplementedError

    def _written(self) -> None:
        """Bring every copy of the weights up to date after `_write`."""

    def _whole(self, value: Tensor) -> Tensor:
        """Return a frozen parameter or a buffer, whole."""
        return value


class PlainEngine(Engine):
    """One process, torch alone."""

    def __init__(self, module: nn.Module, recipe: Recipe, ranks: Ranks):
        super().__init__(module, recipe, ranks)
        if self.world > 1:
            raise ConfigError("several processes need ZeRO", found=f"{self.world} ranks, zero = 0", fix="zero = 1")
        self.optimiser = averaging_adamw(self.trained.values(), recipe)
        self.optimiser.allocate(self.trained.values())
        for parameter in self.trained.values():  # one that a loss leaves out decays all the same, as under ZeRO
            parameter.grad = torch.zeros_like(parameter)

    def _descend(self, losses: list[Callable[[], Tensor]]) -> tuple[list[Tensor], bool]:
        values = []
        for loss in losses:
            with torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
                value = loss()
            (value / len(losses)).backward()
            values.append(value.detach())
        norm = nn.utils.clip_grad_norm_(self.trained.values(), self.recipe.clip)
        finite = bool(norm.isfinite())
        if finite:
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=False)
        return values, finite

    def _read(self, parameter: nn.Parameter, key: str) -> Tensor:
        return parameter if key == "weight" else self.optimiser.state[parameter][key]

    @torch.no_grad()
    def _write(self, parameter: nn.Parameter, key: str, value: Tensor) -> None:
        self._read(parameter, key).copy_(value)


class DeepSpeedEngine(Engine):
    """Any number of processes, which share moments, gradients and weights as far as the ZeRO stage says."""

    def __init__(self, module: nn.Module, recipe: Recipe, ranks: Ranks):
        super().__init__(module, recipe, ranks)
        self.optimiser = averaging_adamw(self.trained.values(), recipe)
        with contextlib.redirect_stdout(sys.stderr):  # where its logger, made at import, will write from now on
            deepspeed = _import_deepspeed(ranks.device)
            self._deepspeed, *_ = deepspeed.initialize(
                model=_Loss(module), optimizer=self.optimiser, config=self._config(), dist_init_required=False
            )
        zero = self._deepspeed.optimizer
        if recipe.zero == 3:
            self.optimiser.allocate(zero.fp32_partitioned_groups_flat)
        else:
            self.optimiser.allocate(zero.single_partition_of_fp32_groups)
            zero._lazy_init_hp_params_optimizer_state()

    def _config(self) -> dict:
        elements = sum(shape.numel() for shape in self.shapes.values())
        return {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": self.recipe.accumulate,
            "gradient_clipping": self.recipe.clip,
            # Its own default buffer of 5e8 elements would dwarf a small network.
            "zero_optimization": {"stage": self.recipe.zero, "reduce_bucket_size": min(elements, 200_000_000)},
            "zero_allow_untested_optimizer": True,
            "torch_autocast": {"enabled": self.recipe.precision == "bf16", "dtype": "bfloat16"},
        }

    def _descend(self, losses: list[Callable[[], Tensor]]) -> tuple[list[Tensor], bool]:
        values = []
        for loss in losses:
            value = self._deepspeed(loss)
            self._deepspeed.backward(value)
            self._deepspeed.step()  # counts micro-batches and steps at the last
            values.append(value.detach())
        return values, self._deepspeed.was_step_applied()

    def _read(self, parameter: nn.Parameter, key: str) -> Tensor:
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        if key == "weight":
            return safe_get_full_fp32_param(parameter)
        return safe_get_full_optimizer_state(parameter, key)

    def _write(self, parameter: nn.Parameter, key: str, value: Tensor) -> None:
        from deepspeed import utils

        if self.recipe.zero == 3:
            size = parameter.ds_tensor.numel()
            padded = nn.functional.pad(value.flatten(), (0, size * self.world - value.numel()))
            value = padded[self.rank * size : (self.rank + 1) * size]
            weight, state = utils.safe_set_local_fp32_param, utils.safe_set_local_optimizer_state
        else:
            weight, state = utils.safe_set_full_fp32_param, utils.safe_set_full_optimizer_state
        if key == "weight":
            weight(parameter, value)
        else:
            state(parameter, value, key)

    def _written(self) -> None:
        zero = self._deepspeed.optimizer
        if self.recipe.zero < 3:
            zero.update_lp_params()
            return
        zero._partition_all_parameters()
        for i in range(len(zero.fp32_partitioned_groups_flat)):
            zero._reassign_or_swap_out_partitioned_parameters(i)
        if zero.persistent_parameters:  # small ones, of which each rank keeps all
            zero.persistent_parameters[0].all_gather(zero.persistent_parameters)

    def _whole(self, value: Tensor) -> Tensor:
        if not hasattr(value, "ds_tensor"):
            return value
        shards = [torch.empty_like(value.ds_tensor) for _ in range(self.world)]
        dist.all_gather(shards, value.ds_tensor.detach())  # its own gathering would round to bf16 under autocast
        return torch.cat(shards)[: value.ds_numel].view(value.ds_shape)


def make_engine(module: nn.Module, recipe: Recipe) -> Engine:
    """Make the engine that a recipe asks for; every rank calls this with the same module on its own device.

    Raises:
        MissingDependencyError: the recipe asks for ZeRO and DeepSpeed is not installed.
        ConfigError: several ranks without ZeRO.
    """
    if recipe.gradient_checkpointing and getattr(module, "_supports_gradient_checkpointing", False):
        module.enable_gradient_checkpointing()
    ranks = join_ranks(next(module.parameters()).device)
    return (DeepSpeedEngine if recipe.zero else PlainEngine)(module, recipe, ranks)


class _Loss(nn.Module):
    """A loss as a forward pass, which is where DeepSpeed begins to follow the module inside."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, loss: Callable[[], Tensor]) -> Tensor:
        return loss()


def _import_deepspeed(device: torch.device) -> Any:
    os.environ.setdefault("DS_ACCELERATOR", device.type)
    os.environ.setdefault("LOCAL_RANK", str(device.index or 0))
    try:
        import deepspeed
    except ImportError as error:
        raise MissingDependencyError(
            "ZeRO needs the package deepspeed", found=str(error), fix='pip install "emosh[train]", or zero = 0'
        ) from error
    # On CPUs it would compile a minute long what only its inference uses.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # It calls torch by names that torch is about to change.
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    if not dist.is_initialized():  # it wants a process group, even of one
        _form_group(device, store=dist.HashStore(), rank=0, world_size=1)
    return deepspeed


def _portions(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """Bring tensors to the CPU in portions that fit in a file."""
    portion: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        if portion and size + tensor.nbytes > FILE_BYTES:
            yield portion
            portion, size = {}, 0
        portion[name] = tensor.to("cpu", copy=True).contiguous()
        size += tensor.nbytes
    yield portion


def _open(folder: Path, shapes: dict[str, torch.Size], files: contextlib.ExitStack) -> tuple[int, dict[str, Any]]:
    """Return the steps of a saved engine and the open file of each of its tensors."""
    try:
        state = json.loads((folder / "engine.json").read_text())
        names = [folder / f"engine_{i + 1:05d}.safetensors" for i in range(state["files"])]
        opened = [files.enter_context(safe_open(name, "pt")) for name in names]
        found = {key: file for file in opened for key in file.keys()}
        saved = {key: torch.Size(file.get_slice(key).get_shape()) for key, file in found.items()}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        found = f"{folder}: {error}"
        raise ArtifactError("a checkpoint cannot be read", found=found, fix=f"delete {folder}") from error
    wanted = {f"{key}/{name}": shape for name, shape in shapes.items() for key in ("weight", *STATES)}
    if saved != wanted:
        odd = sorted(key for key in saved.keys() | wanted.keys() if saved.get(key) != wanted.get(key))
        raise ArtifactError(
            "a checkpoint is of another network",
            found=f"{len(odd)} tensors differ, the first {odd[0]}: {saved.get(odd[0])}, not {wanted.get(odd[0])}",
            fix="train with the settings that the checkpoint was made with, or use --force to start over",
        )
    return state["steps"], found
