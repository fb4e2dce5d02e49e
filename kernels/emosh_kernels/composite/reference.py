"""The specification in plain torch."""

import torch
from torch import Tensor


def composite(layers: list, oversample: int) -> Tensor:
    """Return (T, H, W, 4) for checked inputs."""
    painted = torch.stack([_paint(layer) for layer in layers])
    depth = torch.stack([layer.fragments.depth for layer in layers])
    order = torch.sort(depth, dim=0, stable=True).indices[..., None].expand(painted.shape)
    over = torch.zeros_like(painted[0])
    for layer in painted.gather(0, order):
        over = over + (1 - over[..., 3:]) * layer
    frames, rows, columns, _ = over.shape
    fine = (frames, rows // oversample, oversample, columns // oversample, oversample, 4)
    return over.reshape(fine).mean((2, 4))


def _paint(layer) -> Tensor:
    """Return the layer's own picture (T, h, w, 4), premultiplied."""
    face_id = layer.fragments.face_id.long()
    corners = layer.faces.long()[face_id.clamp(min=0)]
    frame = torch.arange(len(face_id), device=face_id.device)[:, None, None, None]
    values = (layer.fragments.bary[..., None] * layer.values[frame, corners]).sum(-2)
    place, gain, opacity, shine = values.split([2, 3, 1, 1], -1)
    color = _bilinear(layer.texture, place) * opacity
    alpha = color[..., 3:]
    color = torch.minimum((color[..., :3] * gain + alpha * shine).clamp(min=0), alpha)
    return torch.where((face_id >= 0)[..., None], torch.cat([color, alpha], -1), 0)


def _bilinear(texture: Tensor, points: Tensor) -> Tensor:
    height, width, _ = texture.shape
    limit = torch.tensor([width - 1, height - 1], device=texture.device)
    place = torch.minimum((points - 0.5).clamp(min=0), limit)
    low = place.floor().long()
    high = torch.minimum(low + 1, limit)
    (x, y), (x1, y1) = low.unbind(-1), high.unbind(-1)
    right, down = (place - low).unsqueeze(-2).unbind(-1)
    top = texture[y, x] + right * (texture[y, x1] - texture[y, x])
    bottom = texture[y1, x] + right * (texture[y1, x1] - texture[y1, x])
    return top + down * (bottom - top)
