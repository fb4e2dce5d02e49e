"""Pictures of any size in and out of the square that a model works on."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Letterbox:
    """Fits H × W pictures into a square with black bars, and takes them out again."""

    height: int
    width: int
    resolution: int
    """Side of the square [px]."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Top, left, height and width [px] of the picture inside the square."""
        scale = self.resolution / max(self.height, self.width)
        height, width = max(1, round(self.height * scale)), max(1, round(self.width * scale))
        return (self.resolution - height) // 2, (self.resolution - width) // 2, height, width

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Turn (H, W, 3) into (resolution, resolution, 3) of the same kind."""
        top, left, height, width = self.box
        square = np.zeros((self.resolution, self.resolution, 3), image.dtype)
        shrinks = height <= self.height
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        square[top : top + height, left : left + width] = resized
        return square

    def unfit(self, square: np.ndarray) -> np.ndarray:
        """Turn (resolution, resolution, 3) float32 back into (H, W, 3)."""
        top, left, height, width = self.box
        inner = np.ascontiguousarray(square[top : top + height, left : left + width])
        return cv2.resize(inner, (self.width, self.height), interpolation=cv2.INTER_LINEAR)


def rows(pictures, indices: np.ndarray) -> np.ndarray:
    """Return some frames (n, H, W, 3) of pictures (T, H, W, 3) that may lie on disk, in one read of what is between."""
    first = int(indices.min())
    return np.asarray(pictures[first : int(indices.max()) + 1])[indices - first]


def to_tensor(frames: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Turn (..., T, H, W, 3) uint8 into (..., 3, T, H, W) float32 in [−1, 1] on a device."""
    return torch.from_numpy(frames).to(device).movedim(-1, -4).float() / 127.5 - 1


def to_frames(video: Tensor) -> np.ndarray:
    """Turn (3, T, H, W) in [−1, 1] into (T, H, W, 3) float32 in [0, 1]."""
    return ((video.clamp(-1, 1) + 1) / 2).permute(1, 2, 3, 0).cpu().float().contiguous().numpy()
