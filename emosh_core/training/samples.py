"""Training samples on disk: one safetensors file per clip and reference, read piece by piece."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from emosh_core.durable import durable_file
from emosh_core.errors import ArtifactError

PICTURES = ("frames", "cond", "preview")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Windows of one clip with one reference; W windows of n frames, pictures R × R uint8 RGB."""

    frames: np.ndarray
    """(W, n, R, R, 3) what was filmed."""
    cond: np.ndarray
    """(W, n, R, R, 3) the condition pictures."""
    preview: np.ndarray
    """(W, n, R, R, 3) the preview generator's pictures, made from the reference."""
    reference: np.ndarray
    """(R, R, 3) the person at another moment."""
    boxes: np.ndarray
    """(W, n, D, 4) int16 x0, y0, x1, y1 [px] of face and hands; all 0 where unseen."""


def save_sample(path: Path, sample: Sample) -> None:
    """Write a sample whole or not at all."""
    tensors = {
        field.name: torch.from_numpy(np.ascontiguousarray(getattr(sample, field.name))) for field in fields(sample)
    }
    with durable_file(path) as temporary:
        save_file(tensors, temporary)


class StoredSample:
    """A sample's file; nothing is read before it is asked for."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self._file = safe_open(path, "np")
            self.shape = tuple(self._file.get_slice("frames").get_shape())
        except (OSError, SafetensorError) as error:
            found = f"{path}: {error}"
            raise ArtifactError("a training sample cannot be read", found=found, fix="delete it") from error

    @property
    def windows(self) -> int:
        return self.shape[0]

    def read(self, what: str, window: int, times: slice, part: tuple[slice, slice]) -> np.ndarray:
        """Return some rows and columns of some pictures of a window (n, h, w, 3) uint8; `what` is one of PICTURES."""
        return self._file.get_slice(what)[window, times, part[0], part[1]]

    def boxes(self, window: int, times: slice) -> np.ndarray:
        """Return the boxes (n, D, 4) of face and hands."""
        return self._file.get_slice("boxes")[window, times]

    @property
    def reference(self) -> np.ndarray:
        """(R, R, 3) uint8"""
        return self._file.get_tensor("reference")


class Samples:
    """Some samples of equal window and size."""

    def __init__(self, paths: Iterable[Path]):
        self.paths = sorted(paths)
        if not self.paths:
            raise ArtifactError("there is nothing to train on", found="no samples", fix="emosh train --help")
        self._open = lru_cache(maxsize=256)(StoredSample)
        self.window, self.side = self[0].shape[1:3]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> StoredSample:
        return self._open(self.paths[index])

    def part(self, index: int, count: int) -> "Samples":
        """Return every `count`-th sample from `index` on; the first if there are too few."""
        return Samples(self.paths[index::count] or self.paths[:1])
