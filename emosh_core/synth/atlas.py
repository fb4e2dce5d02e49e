"""Put the textures of many pieces into one picture, at the sizes at which they are seen."""

from dataclasses import dataclass

import cv2
import numpy as np

MARGIN = 2
"""The rim of each piece is repeated this often, so that bilinear look-ups meet nothing else [px]."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A texture and where the corners of a mesh lie in it."""

    picture: np.ndarray
    """(h, w, 4) float32: RGB times alpha, alpha; 0..1."""
    texels: np.ndarray
    """(U, 2) [px]."""


def cut(picture: np.ndarray, uv: np.ndarray, scale: float) -> Piece:
    """Cut out of a texture what a mesh uses, and shrink it.

    Args:
        picture: (h, w, 4) uint8 RGB and straight alpha.
        uv: (U, 2) what is used, v points up.
        scale: of the result's pixels to the picture's; above 1 counts as 1.
    """
    height, width = picture.shape[:2]
    at = np.stack([uv[:, 0] * width, (1 - uv[:, 1]) * height], 1)
    step = 1 / min(scale, 1.0)
    low = np.clip(np.floor(at.min(0) - step), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(at.max(0) + step), low + 1, [width, height]).astype(int)
    inside = picture[low[1] : high[1], low[0] : high[0]]
    size = np.maximum(np.round((high - low) / step), 1).astype(int)
    if inside[..., 3].min() < 255:  # else a mean of bytes is good enough, and four times as fast
        inside = _premultiplied(inside)
    if tuple(size) != tuple(high - low):
        inside = cv2.resize(inside, tuple(size.tolist()), interpolation=cv2.INTER_AREA)
    if inside.dtype == np.uint8:
        inside = inside * np.float32(1 / 255)
    return Piece(inside, ((at - low) * (size / (high - low))).astype(np.float32))


def _premultiplied(picture: np.ndarray) -> np.ndarray:
    scaled = picture * np.float32(1 / 255)
    alpha = cv2.merge([scaled[..., 3]] * 3 + [np.ones_like(scaled[..., 3])])
    return scaled * alpha


def density(verts: np.ndarray, faces: np.ndarray, uv: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> float:
    """Return how many pixels of a texture lie on a metre of a surface, on average over its area [px/m].

    Args:
        verts: (N, 3) [m].
        faces: (F, 3).
        uv: (U, 2).
        corners: (F, 3) rows of `uv`.
        size: height and width of the texture [px].
    """
    a, b, c = verts[faces].transpose(1, 0, 2)
    surface = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()
    p, q, r = (uv[corners] * [size[1], size[0]]).transpose(1, 0, 2)
    flat = np.abs((q - p)[:, 0] * (r - p)[:, 1] - (q - p)[:, 1] * (r - p)[:, 0]).sum()
    return float(np.sqrt(flat / max(surface, 1e-9)))


def join(pieces: list[Piece]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Put pieces side by side in one picture, the highest first, in rows.

    Returns:
        The picture (h, w, 4) float32 and for each piece its texels (U, 2) there [px].
    """
    padded = [cv2.copyMakeBorder(piece.picture, *[MARGIN] * 4, cv2.BORDER_REPLICATE) for piece in pieces]
    area = sum(picture.shape[0] * picture.shape[1] for picture in padded)
    width = max(int(1.1 * area**0.5), *(picture.shape[1] for picture in padded))
    corners, x, y, row = {}, 0, 0, 0
    for number in sorted(range(len(padded)), key=lambda n: (-padded[n].shape[0], n)):
        high, wide = padded[number].shape[:2]
        if x + wide > width:
            x, y, row = 0, y + row, 0
        corners[number] = (x, y)
        x, row = x + wide, max(row, high)
    texture = np.zeros((y + row, width, 4), np.float32)
    moved = []
    for number, (piece, picture) in enumerate(zip(pieces, padded, strict=True)):
        x, y = corners[number]
        texture[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        moved.append((piece.texels + np.array([x + MARGIN, y + MARGIN])).astype(np.float32))
    return texture, moved
