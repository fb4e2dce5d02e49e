"""Tiny networks with random weights, and condition pictures of noise."""

import numpy as np
import pytest
import torch

from emosh_core.artifacts import Cond
from emosh_core.generate.models import Spec, build


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Networks this small lose more to threads waiting for each other than they win."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def networks():
    """Return a pair for 16 px and windows of 9 frames whose transformer does predict something."""
    spec = Spec(resolution=32, window=9, overlap=5, prediction="velocity")
    tiny = build(spec, heads=2, head_width=12, layers=1, vae_width=8, seed=1)
    torch.manual_seed(2)
    torch.nn.init.normal_(tiny.transformer.proj_out.weight, std=0.2)
    return tiny


@pytest.fixture
def make_cond():
    def make(frames: int, height: int = 20, width: int = 14) -> Cond:
        pictures = np.random.default_rng(5).integers(0, 256, (frames, height, width, 3)).astype(np.uint8)
        return Cond(
            frames=pictures, mask=np.ones(pictures.shape[:3], bool), keypoints=np.zeros((frames, 1, 2), np.float32),
            keypoints_drawn=np.zeros((frames, 1), bool), valid=np.ones(frames, bool), K=np.eye(3, dtype=np.float32),
            w2c=np.repeat(np.eye(4, dtype=np.float32)[None], frames, 0), time=np.arange(frames) / 25, fps=25.0,
        )  # fmt: skip

    return make
