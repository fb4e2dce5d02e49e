"""Put a finished checkpoint into the package as `mini`: bf16, in files of at most 14 MiB, with its model card.

`python scripts/ship_mini.py RUN [--card CARD.md] [--use '{"steps": 2}']`; RUN is a run folder, for example
build/mini/runs/mini. How the networks are to be used (`Spec`: steps, shift) may be chosen now; what they compute in is
bf16, where a device does that natively.
"""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from emosh_core.durable import durable_directory
from emosh_core.generate.diffusion import latest_checkpoint
from emosh_core.generate.models import load, save
from emosh_core.generate.names import mini_folder

MOST = 48 << 20
"""All weights together [bytes]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--card", type=Path, default=mini_folder() / "README.md", help="the model card to ship with it")
    parser.add_argument("--use", type=json.loads, default={}, help="fields of Spec that are to be otherwise, as JSON")
    options = parser.parse_args()
    if not options.card.is_file():
        parser.error(f"no model card {options.card}: write one (data, steps, device, measured, limits, licence)")
    card = options.card.read_text()
    checkpoint = latest_checkpoint(options.run)
    step = json.loads((checkpoint / "training.json").read_text())["step"]
    if not step:
        parser.error("weights that were never trained are not shipped")
    networks, target = load(checkpoint), mini_folder()
    networks = replace(networks, spec=replace(networks.spec, **{"precision": "bf16"} | options.use))
    shutil.rmtree(target, ignore_errors=True)
    with durable_directory(target) as folder:
        save(networks, folder, dtype=torch.bfloat16)
        (folder / "README.md").write_text(card)
        size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
        if size > MOST:
            parser.error(f"{size / 2**20:.1f} MiB are more than {MOST >> 20}")
    print(f"{target}: step {step}, {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
