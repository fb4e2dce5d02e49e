"""The public function: checks its inputs once, sorts by distance, then picks an implementation."""

import importlib
from dataclasses import dataclass

import torch
from torch import Tensor

from emosh_kernels.dispatch import TRITON_RUNS_ON, choose

OFFERED = {"numba": ("cpu",), "triton": TRITON_RUNS_ON, "reference": ("cpu", "cuda")}


@dataclass(frozen=True)
class Strokes:
    """N straight strokes with round ends in each of T frames; one of no length is a dot."""

    ends: Tensor
    """(T, N, 2, 2) both ends (x, y) [px]; the centre of the top-left pixel is (0.5, 0.5)."""
    distance: Tensor
    """(T, N, 2) depth of both ends [m]."""
    width: Tensor
    """(T, N) [px]."""
    color: Tensor
    """(N, C)."""
    tolerance: Tensor
    """(N,) how far behind the nearest surface a stroke still counts as visible [m]."""
    drawn: Tensor
    """(T, N) bool."""


def draw_strokes(image: Tensor, strokes: Strokes, depth: Tensor | None = None, *, impl: str = "auto") -> Tensor:
    """Draw strokes onto pictures, in place, far ones first.

    A pixel whose centre lies at a distance r [px] from the stroke's axis takes a share ½ + width/2 − r
    of its colour, from 0 to 1; none where a nearer surface hides the stroke. A stroke thinner than a
    pixel is drawn a pixel wide and the paler, so that it stays where it is. Along a stroke the inverse
    of its depth changes evenly, as perspective has it.

    Args:
        image: (T, H, W, C) floats.
        depth: (T, H, W) nearest surface [m]; None hides nothing.
        impl: "auto", "reference", "numba" or "triton".

    Returns:
        `image`.

    Raises:
        ValueError: a shape is wrong, an end that is drawn is not finite, or `image` is not contiguous.
        RuntimeError: the implementation asked for cannot run here.
    """
    frames, count = strokes.drawn.shape
    _check(image, strokes, depth)
    ahead = (strokes.distance > 0).all(-1)
    order = torch.argsort(strokes.distance.mean(-1), dim=1, descending=True, stable=True)
    drawn = (strokes.drawn & ahead).gather(1, order)
    ends = strokes.ends.gather(1, order[..., None, None].expand(frames, count, 2, 2)).double()
    inverse = 1 / torch.where(ahead[..., None], strokes.distance, 1).double()
    inverse = inverse.gather(1, order[..., None].expand(frames, count, 2))
    width = strokes.width.gather(1, order).double()
    with torch.no_grad():
        name = choose("strokes", impl, image.device.type, OFFERED)
        chosen = importlib.import_module(f"emosh_kernels.strokes.{name}")  # the compiled ones when first used
        chosen.draw_strokes(
            image, ends, inverse, width, strokes.color.to(image.dtype)[order],
            strokes.tolerance.double()[order], drawn, depth,
        )  # fmt: skip
    return image


def _check(image: Tensor, strokes: Strokes, depth: Tensor | None) -> None:
    frames, count = strokes.drawn.shape
    wanted = {
        "ends": (frames, count, 2, 2), "distance": (frames, count, 2), "width": (frames, count),
        "color": (count, image.shape[-1]), "tolerance": (count,),
    }  # fmt: skip
    for name, shape in wanted.items():
        if tuple(getattr(strokes, name).shape) != shape:
            raise ValueError(f"strokes.{name} must be {shape}, got {tuple(getattr(strokes, name).shape)}")
    if image.ndim != 4 or len(image) != frames or not image.is_floating_point():
        raise ValueError(f"image must be ({frames}, H, W, C) floats, got {tuple(image.shape)} {image.dtype}")
    if not image.is_contiguous() or image.requires_grad:
        raise ValueError("image must be contiguous and without gradients, it is drawn onto")
    if depth is not None and depth.shape != image.shape[:3]:
        raise ValueError(f"depth must be {tuple(image.shape[:3])}, got {tuple(depth.shape)}")
    if not strokes.ends[strokes.drawn].isfinite().all():
        raise ValueError("ends of strokes that are drawn must be finite")
