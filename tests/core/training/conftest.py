"""A clip of a moving disc, its condition pictures, and settings of a run that takes seconds."""

import numpy as np
import pytest
import torch

from emosh_core.artifacts import Cond
from emosh_core.settings import TrainConfig


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Networks this small lose more to threads waiting for each other than they win."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_disc(count: int = 30, height: int = 24, width: int = 18) -> tuple[Cond, np.ndarray]:
    """Return the condition pictures (T, H, W, 3) of a disc, coloured by place, and its red-on-grey clip."""
    y, x = np.mgrid[:height, :width]
    frames = np.full((count, height, width, 3), 90, np.uint8)
    pictures = np.zeros_like(frames)
    for i in range(count):
        disc = np.hypot(x - 9 - 4 * np.sin(i / 4), y - 12 - 5 * np.cos(i / 5)) < 5
        frames[i][disc] = (200, 60, 40)
        pictures[i][disc] = np.stack([x * 14, y * 10, 0 * x + 128], -1)[disc]
    always = np.ones(count, bool)
    cond = Cond(
        frames=pictures, mask=pictures.any(-1), keypoints=np.zeros((count, 1, 2), np.float32),
        keypoints_drawn=np.zeros((count, 1), bool), valid=always, K=np.eye(3, dtype=np.float32),
        w2c=np.repeat(np.eye(4, dtype=np.float32)[None], count, 0), time=np.arange(count) / 25, fps=5.0,
    )  # fmt: skip
    return cond, frames


TINY = TrainConfig(
    steps=20, vae_steps=6, resolution=16, window=9, stride=4, batch=2, heads=2, head_width=12, layers=1, vae_width=8,
    checkpoint_every=4, lr=4e-3,
)  # fmt: skip


@pytest.fixture(scope="session")
def disc():
    return make_disc()


@pytest.fixture(scope="session")
def tiny():
    return TINY
