"""Which machine a figure was measured on."""

import os
import platform
from pathlib import Path

import torch


def device_name(device: str = "cpu") -> str:
    """Return the name of the GPU, or of the processor with the number of its cores."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {os.cpu_count()} cores"
