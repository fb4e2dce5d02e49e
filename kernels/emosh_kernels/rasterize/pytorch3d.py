"""PyTorch3D's rasteriser behind the same signature: a peer to compare with, never the one that `auto` takes.

PyTorch3D (Ravi et al. 2020, arXiv 2007.08501) wants x and y in normalised device coordinates, z in
metres: x to the left, y up, the picture's shorter side from −1 to 1, the other in proportion. It computes
in float32 and has its own rule for pixels on an edge, so single pixels along outlines differ from ours.
"""

import torch
from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
from pytorch3d.structures import Meshes
from torch import Tensor

SMALLEST_Z = 1e-6
"""Corners are kept this far [m] from the camera's plane, where their pixels would be infinite."""


def rasterize(
    verts_cam: Tensor, faces: Tensor, K: Tensor, size: tuple[int, int], near: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return face_id, depth and bary for checked inputs with K (T, 3, 3)."""
    verts = _to_ndc(verts_cam, K, size)
    meshes = Meshes(verts, faces.long().expand(len(verts), -1, -1))
    packed, depth, bary, _ = rasterize_meshes(
        meshes, image_size=tuple(size), blur_radius=0.0, faces_per_pixel=1, perspective_correct=True,
        clip_barycentric_coords=False, cull_backfaces=False, z_clip_value=near,
    )  # fmt: skip
    seen = packed[..., 0] >= 0
    face_id = torch.where(seen, packed[..., 0] % max(len(faces), 1), -1).int()  # counted through all frames
    depth = torch.where(seen, depth[..., 0], torch.inf)
    return face_id, depth, torch.where(seen[..., None], bary[..., 0, :], 0)


def _to_ndc(verts_cam: Tensor, K: Tensor, size: tuple[int, int]) -> Tensor:
    """Return PyTorch3D's x, y and z [m] (T, V, 3) float32."""
    points = verts_cam.double() @ K.double().mT
    z = points[..., 2:]
    z = torch.where(z < 0, z.clip(max=-SMALLEST_Z), z.clip(min=SMALLEST_Z))
    height, width = size
    middle = torch.tensor([width / 2, height / 2], dtype=torch.float64, device=points.device)
    xy = (middle - points[..., :2] / z) * (2 / min(size))
    return torch.cat([xy, z], -1).float()
