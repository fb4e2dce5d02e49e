"""The public function: checks its inputs once, then picks an implementation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from emosh_kernels.composite import reference
from emosh_kernels.dispatch import TRITON_RUNS_ON, choose
from emosh_kernels.rasterize import Fragments

OFFERED = {"numba": ("cpu",), "triton": TRITON_RUNS_ON, "reference": ("cpu", "cuda")}
COLUMNS = 7
"""Of `Layer.values`."""


@dataclass(frozen=True)
class Layer:
    """A rasterised mesh and what is painted on it."""

    fragments: Fragments
    """T frames of oversample·H × oversample·W pixels."""
    faces: Tensor
    """(F, 3) integer rows of `values`, one triple for each face that was rasterised."""
    values: Tensor
    """(T, N, 7) float32 at the corners: x and y in the texture [px]; gains of red, green and blue; opacity; and shine,
    white light that is added to the colour."""
    texture: Tensor
    """(h, w, 4) float32: RGB times alpha, alpha; 0..1. Beyond its rim the rim goes on."""


def composite(
    layers: list[Layer], background: Tensor | None = None, *, oversample: int = 1, impl: str = "auto"
) -> Tensor:
    """Paint layers over a background, at each fine pixel from the nearest to the farthest, and average.

    Colours are premultiplied by alpha throughout (Porter and Duff 1984, "over"), so neither the
    bilinear look-up nor the average of fine pixels mixes in colours that alpha hides. A fine pixel
    that gain or shine makes brighter than white is white.

    Args:
        layers: at least one; of two at the same depth the earlier covers the later.
        background: (T, H, W, 3) float32, 0..1; None to get the layers alone.
        oversample: fine pixels per pixel and axis.
        impl: "auto", "reference", "numba" or "triton"; they agree up to float32 rounding.

    Returns:
        (T, H, W, 3) float32, 0..1; without a background (T, H, W, 4), RGB times alpha, alpha.

    Raises:
        ValueError: a shape or dtype does not fit.
        RuntimeError: the implementation asked for cannot run here.
    """
    _check(layers, background, oversample)
    chosen = choose("composite", impl, layers[0].values.device.type, OFFERED)
    if chosen == "numba":
        from emosh_kernels.composite import numba as kernels  # compiled on first use
    elif chosen == "triton":
        from emosh_kernels.composite import triton as kernels
    else:
        kernels = reference
    over = kernels.composite(layers, oversample)
    return over if background is None else over[..., :3] + (1 - over[..., 3:]) * background


def _check(layers: list[Layer], background: Tensor | None, oversample: int) -> None:
    if not layers or oversample < 1:
        raise ValueError(f"at least one layer and oversample ≥ 1 are needed, got {len(layers)} and {oversample}")
    frames, rows, columns = layers[0].fragments.face_id.shape
    if rows % oversample or columns % oversample:
        raise ValueError(f"fragments of {rows}×{columns} fine pixels cannot be averaged ×{oversample}")
    wanted = (frames, rows // oversample, columns // oversample, 3)
    if background is not None and (background.shape != wanted or background.dtype != torch.float32):
        raise ValueError(f"background must be {wanted} float32, got {tuple(background.shape)} {background.dtype}")
    for layer in layers:
        if layer.fragments.face_id.shape != (frames, rows, columns):
            found = tuple(layer.fragments.face_id.shape)
            raise ValueError(f"fragments {found} do not fit those of the first layer {(frames, rows, columns)}")
        if layer.values.shape[::2] != (frames, COLUMNS) or layer.values.dtype != torch.float32:
            found = f"{tuple(layer.values.shape)} {layer.values.dtype}"
            raise ValueError(f"values must be (T, N, {COLUMNS}) float32, got {found}")
        if layer.texture.ndim != 3 or layer.texture.shape[2] != 4 or layer.texture.dtype != torch.float32:
            raise ValueError(f"texture must be (h, w, 4) float32, got {tuple(layer.texture.shape)}")
