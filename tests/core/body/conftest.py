"""Made-up SMPL-X and FLAME files, written once."""

import pytest
import torch
from licensed_files import write_folder

from emosh_core.body.smplx import read_smplx
from emosh_core.body.smplx.load import SMPLX, read_model


@pytest.fixture(scope="session")
def licensed(tmp_path_factory):
    """A folder with everything."""
    return write_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def smplx_file(licensed):
    name = "SMPLX_NEUTRAL_2020.npz"
    return read_model((licensed / name).read_bytes(), name, SMPLX)


@pytest.fixture(scope="session")
def smplx_body(licensed):
    return read_smplx(licensed, dtype=torch.float64)
