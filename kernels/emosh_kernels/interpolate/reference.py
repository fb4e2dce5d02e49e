"""The specification in plain torch."""

import torch
from torch import Tensor


def interpolate(face_id: Tensor, bary: Tensor, faces: Tensor, values: Tensor) -> Tensor:
    """Return Σ_i bary_i · value of corner i at every pixel, (T, H, W, C)."""
    where = torch.nonzero(face_id >= 0, as_tuple=True)
    corners = faces[face_id[where].long()].long()
    rows = values[corners] if values.ndim == 2 else values[where[0][:, None], corners]
    weights = bary[where].to(values.dtype)
    mixed = (weights[:, 0, None] * rows[:, 0] + weights[:, 1, None] * rows[:, 1]) + weights[:, 2, None] * rows[:, 2]
    picture = torch.zeros(*face_id.shape, values.shape[-1], dtype=values.dtype, device=face_id.device)
    return picture.index_put(where, mixed)
