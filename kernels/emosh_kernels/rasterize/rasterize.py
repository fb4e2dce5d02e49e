"""The public function: checks its inputs once, then picks an implementation."""

import importlib
from dataclasses import dataclass

import torch
from torch import Tensor

from emosh_kernels.dispatch import TRITON_RUNS_ON, choose
from emosh_kernels.rasterize import silhouette
from emosh_kernels.rasterize.gradients import depth_and_bary
from emosh_kernels.rasterize.silhouette import Crossings

OFFERED = {"numba": ("cpu",), "triton": TRITON_RUNS_ON, "reference": ("cpu", "cuda"), "pytorch3d": ("cpu", "cuda")}
NEAR = 1 / 128
"""Nothing closer to the camera plane than this is drawn [m]; a power of two is the same number in every precision."""


@dataclass(frozen=True)
class Fragments:
    """What each pixel sees of a mesh.

    Gradients with respect to the vertices flow through `depth` and `bary`, and through the outlines
    that `antialias` and `coverage` know.
    """

    face_id: Tensor
    """(T, H, W) int32; -1 is background."""
    depth: Tensor
    """(T, H, W) float32, distance along the optical axis [m]; infinite in the background."""
    bary: Tensor
    """(T, H, W, 3) float32, perspective-correct weights of the face's corners; 0 in the background."""
    crossings: Crossings | None = None
    """Where outlines pass between pixels; None if `rasterize` was not given the mesh's edges."""

    def antialias(self, image: Tensor) -> Tensor:
        """Return a picture (T, H, W, C) with smooth outlines: at each, a pixel shows part of its neighbour."""
        if self.crossings is None:
            raise ValueError("outlines are not known: give rasterize(..., edges=mesh_edges(faces))")
        return self.crossings.blend(image.flatten(0, 2)).view_as(image)

    def coverage(self) -> Tensor:
        """Return alpha (T, H, W) float32 in [0, 1]: how much of each pixel the mesh covers."""
        return self.antialias((self.face_id >= 0).to(self.depth.dtype)[..., None])[..., 0].clamp(0, 1)


def rasterize(
    verts_cam: Tensor, faces: Tensor, K: Tensor, size: tuple[int, int], *, edges: Tensor | None = None,
    impl: str = "auto",
) -> Fragments:  # fmt: skip
    """Find the nearest face at every pixel centre; both sides of a face are drawn.

    A pixel whose centre lies on an edge that two faces share belongs to exactly one of them, and of
    two faces at the same float32 depth the one with the smaller index is seen. Faces that cross the
    camera plane are drawn as far as they lie in front of `NEAR`.

    Args:
        verts_cam: (T, V, 3) positions in OpenCV camera axes [m].
        faces: (F, 3) integer corner indices.
        K: (3, 3) or (T, 3, 3) intrinsics [px]; the centre of the top-left pixel is (0.5, 0.5).
        size: height and width of the picture [px].
        edges: (E, 7) of `mesh_edges(faces)`, for smooth outlines; none are looked for without it.
        impl: "auto", "reference", "numba" or "triton"; all give the same result. "pytorch3d" is a
            peer for comparison: its rule for pixels on an edge is another.

    Raises:
        ValueError: a shape, dtype or index is wrong, or a position is not finite.
        RuntimeError: the implementation asked for cannot run here.
    """
    _check(verts_cam, faces, K, size, edges)
    faces = faces.to(verts_cam.device)
    K = K.to(verts_cam.device).expand(len(verts_cam), 3, 3)
    with torch.no_grad():
        chosen = _implementation(choose("rasterize", impl, verts_cam.device.type, OFFERED))
        face_id, depth, bary = chosen.rasterize(verts_cam, faces, K, size, NEAR)
        if edges is not None:
            edges = edges.to(verts_cam.device)
            find = getattr(chosen, "find_crossings", silhouette.find_crossings)
            outline = find(verts_cam, K, faces, edges, face_id, depth, NEAR)
    if verts_cam.requires_grad or K.requires_grad:
        depth, bary = depth_and_bary(verts_cam, faces, K, face_id, verts_cam.dtype)
    found = None if edges is None else silhouette.crossings(verts_cam, K, edges, outline, size)
    return Fragments(face_id, depth, bary, found)


def _implementation(name: str):
    """Return the module of an implementation; the compiled ones are loaded when they are first used."""
    try:
        return importlib.import_module(f"emosh_kernels.rasterize.{name}")
    except ImportError as error:  # PyTorch3D's compiled part wants the torch that it was built for
        raise RuntimeError(f"rasterize: impl={name!r} cannot be loaded here: {error}") from error


def _check(verts_cam: Tensor, faces: Tensor, K: Tensor, size: tuple[int, int], edges: Tensor | None) -> None:
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
    if edges is not None and (edges.ndim != 2 or edges.shape[-1] != 7 or edges.dtype != torch.int32):
        raise ValueError(f"edges must be (E, 7) int32 of mesh_edges(faces), got {tuple(edges.shape)} {edges.dtype}")
    for values in (verts_cam, K):
        # The extremes are finite only if all are; a tenth of the time of torch.isfinite on everything.
        if values.numel() and not torch.stack(torch.aminmax(values.detach())).isfinite().all():
            raise ValueError("verts_cam and K must be finite")
