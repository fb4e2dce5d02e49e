"""One forward pass of a transformer on several GPUs of a machine: context parallelism, as diffusers does it.

`torchrun --nproc-per-node N` starts N processes. The first one does all that `emosh animate` does; before each forward
pass it sends the arguments to the others, which do nothing but follow, and diffusers splits the tokens among all
(Ulysses: each computes a share of the attention heads). Where the others' weights come from is the caller's business.

Nobody has run this on two GPUs yet. Tested are the plan, its errors, and the sending between two CPU processes.
"""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from emosh_core.errors import ConfigError, DeviceError

PATIENCE = timedelta(days=1)
"""How long the others wait for the first one, which may have a clip to track before."""


def check_gpus(degree: int) -> None:
    """Refuse to split passes among GPUs or processes that are not there.

    Raises:
        DeviceError: the machine has fewer GPUs.
        ConfigError: the command was not started once per GPU.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus < degree:
        found = f"{gpus} CUDA devices"
        raise DeviceError(f"parallel = context:{degree} needs {degree} GPUs", found=found, fix='--set parallel=""')
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world != degree:
        fix = f"torchrun --nproc-per-node {degree} -m emosh_cli animate …"
        found = f"{world} process" + ("es" if world > 1 else "")
        raise ConfigError(f"parallel = context:{degree} needs {degree} processes", found=found, fix=fix)


def check_context(degree: int, *, heads: int, tokens: Sequence[int]) -> None:
    """Refuse a number of GPUs that does not divide what has to be shared out.

    Args:
        heads: attention heads.
        tokens: of each layout there is, a first and a later chunk's.

    Raises:
        ConfigError: with the numbers that would do.
    """
    if heads % degree == 0 and all(count % degree == 0 for count in tokens):
        return
    fit = [n for n in range(2, heads + 1) if heads % n == 0 and all(count % n == 0 for count in tokens)]
    listed = " and ".join(f"{count:,}" for count in sorted(set(tokens)))
    raise ConfigError(
        f"a forward pass cannot be split among {degree} GPUs", found=f"{heads} attention heads, {listed} tokens",
        fix=f"--set parallel=context:N with N of {', '.join(map(str, fit))}" if fit else '--set parallel=""',
    )  # fmt: skip


def join(degree: int) -> tuple[int, torch.device]:
    """Meet the other processes of this launch; return which one this is and where it computes.

    Raises:
        DeviceError, ConfigError: see `check_gpus`.
    """
    check_gpus(degree)
    rank = int(os.environ["RANK"])
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    # gloo carries the arguments, which are objects, beside NCCL for diffusers' exchange of heads.
    dist.init_process_group("cpu:gloo,cuda:nccl", timeout=PATIENCE)
    return rank, device


def split(transformer: nn.Module, degree: int) -> None:
    """Let diffusers share the tokens of each forward pass out among the processes."""
    from diffusers import ContextParallelConfig

    transformer.enable_parallelism(config=ContextParallelConfig(ulysses_degree=degree))


def lead(transformer: nn.Module) -> None:
    """Send the arguments of each forward pass from now on to the processes that `follow`."""
    transformer.register_forward_pre_hook(_send, with_kwargs=True, prepend=True)


def release() -> None:
    """Let the processes that follow go; the first one calls this whatever happened."""
    dist.broadcast_object_list([None], 0)


@torch.no_grad()
def follow(transformer: nn.Module, device: torch.device | str) -> int:
    """Take part in the forward passes of the first process until it releases; return how many there were."""
    passes = 0
    while (call := _receive()) is not None:
        arguments, named, half = call
        with torch.autocast(torch.device(device).type, torch.bfloat16) if half else nullcontext():
            transformer(*_moved(arguments, device), **_moved(named, device))
        passes += 1
    return passes


def _send(module: nn.Module, arguments: tuple, named: dict) -> None:
    half = torch.is_autocast_enabled(next(module.parameters()).device.type)
    dist.broadcast_object_list([(_moved(arguments, "cpu"), _moved(named, "cpu"), half)], 0)


def _receive() -> Any:
    call = [None]
    dist.broadcast_object_list(call, 0)
    return call[0]


def _moved(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    return tuple(_moved(item, device) for item in value) if isinstance(value, tuple | list) else value
