"""The public function: checks its inputs once, then picks an implementation."""

import torch
from torch import Tensor

from emosh_kernels.dispatch import choose
from emosh_kernels.interpolate import reference
from emosh_kernels.rasterize import Fragments

OFFERED = {"numba": ("cpu",), "reference": ("cpu", "cuda")}


def interpolate(fragments: Fragments, faces: Tensor, values: Tensor, *, impl: str = "auto") -> Tensor:
    """Interpolate values of the corners of faces at every pixel.

    Args:
        fragments: what T frames show.
        faces: (F, 3) integer rows of `values`: vertices, or texture coordinates of the same faces.
        values: (N, C) or (T, N, C) floats.
        impl: "auto", "reference" or "numba". Only the reference has gradients (with respect to
            `values` and the fragments' `bary`); "auto" takes it where they are asked for.

    Returns:
        (T, H, W, C), zero in the background.

    Raises:
        ValueError: a shape, dtype or index is wrong.
        RuntimeError: the implementation asked for cannot run here.
    """
    face_id = fragments.face_id
    if faces.ndim != 2 or faces.shape[-1] != 3 or faces.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"faces must be (F, 3) int32 or int64, got {tuple(faces.shape)} {faces.dtype}")
    if values.ndim not in (2, 3) or (values.ndim == 3 and len(values) != len(face_id)):
        raise ValueError(f"values must be (N, C) or (T, N, C) with T = {len(face_id)}, got {tuple(values.shape)}")
    if faces.numel() and not 0 <= int(faces.min()) <= int(faces.max()) < values.shape[-2]:
        raise ValueError(f"faces name rows {int(faces.min())}..{int(faces.max())}, there are {values.shape[-2]}")
    faces, values = faces.to(face_id.device), values.to(face_id.device)
    graded = torch.is_grad_enabled() and (values.requires_grad or fragments.bary.requires_grad)
    chosen = choose("interpolate", "reference" if graded and impl == "auto" else impl, face_id.device.type, OFFERED)
    if chosen == "reference":
        return reference.interpolate(face_id, fragments.bary, faces, values)
    if graded:
        raise RuntimeError(f"interpolate: impl={chosen!r} has no gradients; impl='reference' has")
    from emosh_kernels.interpolate import numba  # compiled on first use

    return numba.interpolate(face_id, fragments.bary, faces, values)
