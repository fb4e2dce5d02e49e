"""`auto`, `cpu` or `cuda[:n]` to a device that exists."""

import re

from emosh_core.errors import ConfigError, DeviceError


def check_device(choice: str) -> None:
    """Check that a choice names a device, without looking for it (which imports torch)."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", choice):
        raise ConfigError("unknown device", found=choice, fix="--device auto, cpu, cuda or cuda:1")


def resolve_device(choice: str) -> str:
    """Return the device to use; `auto` takes the first CUDA device if torch can use it, else the CPU.

    Raises:
        DeviceError: that device is not there.
    """
    check_device(choice)
    if choice == "cpu":
        return choice
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if choice == "auto":
        return "cuda:0" if count else "cpu"
    index = int(choice.partition(":")[2] or 0)
    if index >= count:
        raise DeviceError(
            f"there is no device {choice}", found=f"{count} CUDA devices, torch {torch.__version__}", fix="--device cpu"
        )
    return f"cuda:{index}"


def computes_bf16(device) -> bool:
    """Say whether a device (a torch.device) multiplies bf16 natively; emulation would be slower than fp32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch has no public way to ask
    return device.type == "cpu" and probe is not None and probe()
