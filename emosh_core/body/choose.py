"""Which body model: the one that is shipped, or the user's own SMPL-X and FLAME."""

import functools
import os
from pathlib import Path

import torch

from emosh_core.body.assets import load_body
from emosh_core.body.ehm import EhmModel
from emosh_core.body.smplx import SmplxModel, read_smplx
from emosh_core.body.smplx.assemble import NAME
from emosh_core.body.smplx.load import WHERE
from emosh_core.errors import AssetError

FOLDER = "EMOSH_BODY_MODELS"
"""Environment variable: the folder with the user's model files."""


def choose_body(
    folder: Path | str | None = None, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> EhmModel | SmplxModel:
    """Load the user's body model, or the embedded one if the user names no folder.

    Args:
        folder: with SMPL-X and FLAME; the environment's EMOSH_BODY_MODELS by default.

    Raises:
        AssetError: a folder is named but a file is missing or wrong; the embedded body never steps in silently.
    """
    folder = os.environ.get(FOLDER, "") if folder is None else folder
    return _read(Path(folder), device, dtype) if str(folder) else load_body(device=device, dtype=dtype)


def body_of(body_model: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> EhmModel | SmplxModel:
    """Load the body model that an artifact was made with (its `body_model`).

    Raises:
        AssetError: there is no such model, or its files are not here.
    """
    if body_model != NAME:
        return load_body(body_model, device, dtype)
    if not os.environ.get(FOLDER):
        fix = f"name a folder in {FOLDER} and {WHERE}"
        raise AssetError("the artifact needs the body model SMPL-X", found=f"{FOLDER} is not set", fix=fix)
    return choose_body(None, device, dtype)


@functools.lru_cache(maxsize=2)
def _read(folder: Path, device: str, dtype: torch.dtype) -> SmplxModel:
    return read_smplx(folder.expanduser(), device, dtype)
