"""The public function: checks its inputs once, then picks an implementation."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emosh_kernels.dispatch import choose
from emosh_kernels.rasterize import reference

OFFERED = {"numba": ("cpu",), "reference": ("cpu", "cuda")}
NEAR = 0.01
"""Nothing closer to the camera plane than this is drawn [m]."""


@dataclass(frozen=True)
class Fragments:
    """What each pixel sees of a mesh; no gradient flows through it."""

    face_id: Tensor
    """(T, H, W) int32; -1 is background."""
    depth: Tensor
    """(T, H, W) float32, distance along the optical axis [m]; infinite in the background."""
    bary: Tensor
    """(T, H, W, 3) float32, perspective-correct weights of the face's corners; 0 in the background."""


def rasterize(verts_cam: Tensor, faces: Tensor, K: Tensor, size: tuple[int, int], *, impl: str = "auto") -> Fragments:
    """Find the nearest face at every pixel centre; both sides of a face are drawn.

    A pixel whose centre lies on an edge that two faces share belongs to exactly one of them, and of
    two faces at the same float32 depth the one with the smaller index is seen. Faces that cross the
    camera plane are drawn as far as they lie in front of `NEAR`.

    Args:
        verts_cam: (T, V, 3) positions in OpenCV camera axes [m].
        faces: (F, 3) integer corner indices.
        K: (3, 3) or (T, 3, 3) intrinsics [px]; the centre of the top-left pixel is (0.5, 0.5).
        size: height and width of the picture [px].
        impl: "auto", "reference" or "numba"; all give the same result.

    Raises:
        ValueError: a shape, dtype or index is wrong, or a position is not finite.
        RuntimeError: the implementation asked for cannot run here.
    """
    _check(verts_cam, faces, K, size)
    verts_cam, K = verts_cam.detach(), K.detach().to(verts_cam.device).expand(len(verts_cam), 3, 3)
    faces = faces.to(verts_cam.device)
    if choose("rasterize", impl, verts_cam.device.type, OFFERED) == "numba":
        from emosh_kernels.rasterize import numba  # compiled on first use

        return Fragments(*numba.rasterize(verts_cam, faces, K, size, NEAR))
    return Fragments(*reference.rasterize(verts_cam, faces, K, size, NEAR))


def _check(verts_cam: Tensor, faces: Tensor, K: Tensor, size: tuple[int, int]) -> None:
    if verts_cam.ndim != 3 or verts_cam.shape[-1] != 3 or not verts_cam.is_floating_point():
        raise ValueError(f"verts_cam must be (T, V, 3) floats, got {tuple(verts_cam.shape)} {verts_cam.dtype}")
    if faces.ndim != 2 or faces.shape[-1] != 3 or faces.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"faces must be (F, 3) int32 or int64, got {tuple(faces.shape)} {faces.dtype}")
    if K.shape not in ((3, 3), (verts_cam.shape[0], 3, 3)):
        raise ValueError(f"K must be (3, 3) or (T, 3, 3) with T = {verts_cam.shape[0]}, got {tuple(K.shape)}")
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be (height, width) of at least 1 px, got {size}")
    # In numpy: torch would start its threads for these few numbers, which costs more than drawing.
    corners = faces.cpu().numpy()
    if corners.size and not 0 <= corners.min() <= corners.max() < verts_cam.shape[1]:
        raise ValueError(f"faces name vertices {corners.min()}..{corners.max()}, there are {verts_cam.shape[1]}")
    if not all(np.isfinite(values.detach().cpu().numpy()).all() for values in (verts_cam, K)):
        raise ValueError("verts_cam and K must be finite")
