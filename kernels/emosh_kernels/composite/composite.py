"""The public function: checks its inputs once, then picks an implementation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from emosh_kernels.composite import reference
from emosh_kernels.dispatch import choose
from emosh_kernels.rasterize import Fragments

OFFERED = {"numba": ("cpu",), "reference": ("cpu", "cuda")}


@dataclass(frozen=True)
class Layer:
    """A rasterised mesh and what is painted on it."""

    fragments: Fragments
    """T frames of oversample·H × oversample·W pixels."""
    faces: Tensor
    """(F, 3) integer rows of `values`, one triple for each face that was rasterised."""
    values: Tensor
    """(T, N, 4) float32 at the corners: x and y in the texture [px], gain of the colour, opacity."""
    texture: Tensor
    """(h, w, 4) float32: RGB times alpha, alpha; 0..1. Beyond its rim the rim goes on."""


def composite(layers: list[Layer], background: Tensor, *, oversample: int = 1, impl: str = "auto") -> Tensor:
    """Paint layers over a background, at each fine pixel from the nearest to the farthest, and average.

    Colours are premultiplied by alpha throughout (Porter and Duff 1984, "over"), so neither the
    bilinear look-up nor the average of fine pixels mixes in colours that alpha hides.

    Args:
        layers: at least one; of two at the same depth the earlier covers the later.
        background: (T, H, W, 3) float32, 0..1.
        oversample: fine pixels per pixel and axis.
        impl: "auto", "reference" or "numba"; they agree up to float32 rounding.

    Returns:
        (T, H, W, 3) float32; within 0..1 where gains are.

    Raises:
        ValueError: a shape or dtype does not fit.
        RuntimeError: the implementation asked for cannot run here.
    """
    _check(layers, background, oversample)
    if choose("composite", impl, background.device.type, OFFERED) == "numba":
        from emosh_kernels.composite import numba  # compiled on first use

        return numba.composite(layers, background, oversample)
    return reference.composite(layers, background, oversample)


def _check(layers: list[Layer], background: Tensor, oversample: int) -> None:
    if background.ndim != 4 or background.shape[-1] != 3 or background.dtype != torch.float32:
        raise ValueError(f"background must be (T, H, W, 3) float32, got {tuple(background.shape)} {background.dtype}")
    frames, height, width, _ = background.shape
    if not layers or oversample < 1:
        raise ValueError(f"at least one layer and oversample ≥ 1 are needed, got {len(layers)} and {oversample}")
    for layer in layers:
        if layer.fragments.face_id.shape != (frames, height * oversample, width * oversample):
            found = tuple(layer.fragments.face_id.shape)
            raise ValueError(f"fragments {found} do not fit the background ×{oversample}")
        if layer.values.shape[::2] != (frames, 4) or layer.values.dtype != torch.float32:
            raise ValueError(f"values must be (T, N, 4) float32, got {tuple(layer.values.shape)} {layer.values.dtype}")
        if layer.texture.ndim != 3 or layer.texture.shape[2] != 4 or layer.texture.dtype != torch.float32:
            raise ValueError(f"texture must be (h, w, 4) float32, got {tuple(layer.texture.shape)}")
