"""A registered ONNX network that looks at one square cut-out at a time."""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from emosh_core.models import KINDS, match_ports, need_onnxruntime, open_network, require
from emosh_core.tracker.estimators.crops import IMAGENET


class Network:
    """A network of a kind in `emosh_core.models.KINDS`, read from the file that the user added.

    Args:
        kind: what it is.
        also: further outputs that are handed on where the file has them.

    The file is looked for at once, so that a missing one is known before anything is computed;
    it is opened when the first picture comes.

    Raises:
        AssetError: no file is registered; `fix` is the command that adds it.
        MissingDependencyError: onnxruntime is not installed.
    """

    def __init__(self, kind: str, also: tuple[str, ...] = ()):
        self.kind, self._also = KINDS[kind], also
        self._path = require(kind).path
        need_onnxruntime()

    @cached_property
    def _session(self):
        return open_network(self._path)

    @cached_property
    def _names(self) -> list[str]:
        have = [(port.name, port.shape) for port in self._session.get_outputs()]
        there = [name for name in self._also if name in dict(have)]
        return [*match_ports(self.kind.outputs, have), *there]

    @property
    def size(self) -> int:
        """Edge of the cut-out [px]."""
        size = self._session.get_inputs()[0].shape[-1]
        wanted = self.kind.inputs[0].shapes[0][-1]
        return size if isinstance(size, int) else wanted[0] if isinstance(wanted, tuple) else wanted

    def __call__(self, cut: np.ndarray, normalise: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
        """Look at a cut-out (size, size, 3) uint8; returns the kind's outputs, and those of `also`, float64."""
        values = normalise(cut.astype(np.float32)).transpose(2, 0, 1)[None].astype(np.float32)
        outputs = self._session.run(self._names, {self._session.get_inputs()[0].name: values})
        wanted = [port.name for port in self.kind.outputs]
        names = [*wanted, *self._names[len(wanted) :]]
        return {name: np.asarray(value, np.float64)[0] for name, value in zip(names, outputs, strict=True)}


def unit_range(rgb: np.ndarray) -> np.ndarray:
    """0..255 to 0..1."""
    return rgb / 255


def imagenet(rgb: np.ndarray) -> np.ndarray:
    """0..255 to ImageNet's mean 0 and standard deviation 1."""
    mean, std = IMAGENET
    return (rgb - np.float32(mean)) / np.float32(std)
