"""Samples of a moving disc, and settings of a run that takes seconds."""

import numpy as np
import pytest
import torch

from emosh_core.settings import TrainConfig
from emosh_core.training.samples import Sample, Samples, save_sample

SIDE, WINDOW = 32, 9


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Networks this small lose more to threads waiting for each other than they win."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_disc(number: int = 0, windows: int = 2) -> Sample:
    """Return a red disc on grey that moves, coloured by place as its condition, and a grey disc as its preview."""
    y, x = np.mgrid[:SIDE, :SIDE]
    count = windows * WINDOW + 1
    frames = np.full((count, SIDE, SIDE, 3), 90 + 20 * number, np.uint8)
    cond, preview = np.zeros_like(frames), frames.copy()
    boxes = np.zeros((count, 3, 4), np.int16)
    for i in range(count):
        centre = 16 + 7 * np.sin(number + i / 4), 16 + 8 * np.cos(i / 5)
        disc = np.hypot(x - centre[0], y - centre[1]) < 7
        frames[i][disc], preview[i][disc] = (200, 60, 40), (130, 130, 120)
        cond[i][disc] = np.stack([x * 8, y * 8, 0 * x + 128], -1)[disc]
        boxes[i, 0] = [centre[0] - 2, centre[1] - 2, centre[0] + 2, centre[1] + 2]
    shape = (windows, WINDOW, SIDE, SIDE, 3)
    return Sample(frames=frames[1:].reshape(shape), cond=cond[1:].reshape(shape), preview=preview[1:].reshape(shape),
                  reference=frames[0], boxes=boxes[1:].reshape(windows, WINDOW, 3, 4))  # fmt: skip


def write_discs(folder) -> Samples:
    """Write two samples."""
    for number in range(2):
        save_sample(folder / f"disc-{number}.safetensors", make_disc(number))
    return Samples(folder.glob("disc-*"))


TINY = TrainConfig(
    base="scratch", method="full", steps=20, vae_steps=6, resolution=SIDE, window=WINDOW, batch=2, vae_batch=1,
    heads=2, head_width=12, layers=1, vae_width=8, checkpoint_every=4, lr=4e-3, warmup=3, ema=0.8, pictures=False,
)  # fmt: skip


@pytest.fixture(scope="session")
def discs(tmp_path_factory):
    return write_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="session")
def tiny():
    return TINY
