"""Checkpoints that exist whole or not at all and from which training continues bit by bit.

Randomness is not stored: each step draws from generators seeded by (run seed, phase, step).
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from emosh_core.durable import durable_directory, sweep
from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.generate.models import Networks, load, save

KEEP = 2
"""Newest checkpoints that stay."""


def checkpoint_path(run_dir: Path, step: int) -> Path:
    """Return where the checkpoint after `step` steps of both phases lies."""
    return run_dir / "checkpoints" / f"step_{step:07d}"


def save_checkpoint(
    run_dir: Path, step: int, networks: Networks, optimiser: torch.optim.Optimizer, config: dict
) -> Path:
    """Write networks, optimiser, step and config; older checkpoints but the newest few go."""
    path = checkpoint_path(run_dir, step)
    with durable_directory(path) as folder:
        save(networks, folder)
        tensors, groups = _flatten(optimiser)
        save_file(tensors, folder / "optimiser.safetensors")
        state = {"step": step, "optimiser": groups, "config": config}
        (folder / "training.json").write_text(json.dumps(state, indent=2) + "\n")
    for old in sorted(path.parent.glob("step_*"))[:-KEEP]:
        shutil.rmtree(old)
    return path


def newest_checkpoint(run_dir: Path) -> Path | None:
    """Return the newest whole checkpoint, None in a fresh run; sweeps what a killed run left."""
    folder = run_dir / "checkpoints"
    if not folder.is_dir():
        return None
    sweep(folder)
    found = sorted(folder.glob("step_*"))
    return found[-1] if found else None


def load_checkpoint(path: Path, device: torch.device | str) -> tuple[Networks, int, dict]:
    """Return the networks, the step and the config of a checkpoint; the optimiser has its own function."""
    try:
        state = json.loads((path / "training.json").read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError("a checkpoint cannot be read", found=f"{path}: {error}", fix=f"delete {path}") from error
    return load(path, device), state["step"], state["config"]


def restore_optimiser(path: Path, optimiser: torch.optim.Optimizer) -> None:
    """Give an optimiser over the same parameters the state that `save_checkpoint` stored."""
    groups = json.loads((path / "training.json").read_text())["optimiser"]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(path / "optimiser.safetensors").items():
        parameter, name = key.split(".", 1)
        state.setdefault(int(parameter), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def check_same(stored: dict, wanted: dict, *, except_for: set[str]) -> None:
    """Refuse to continue a run with settings that would have made another run."""
    for key in sorted(stored.keys() | wanted.keys()):
        before, now = stored.get(key), wanted.get(key)
        if key not in except_for and before != now:
            raise ConfigError(
                f"the run was started with another {key}",
                found=f"{before} then, {now} now",
                fix="go back to that, choose another name, or use --force to start over",
            )


def _flatten(optimiser: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], list[dict]]:
    state = optimiser.state_dict()
    tensors = {f"{i}.{name}": value for i, values in state["state"].items() for name, value in values.items()}
    return tensors, state["param_groups"]
