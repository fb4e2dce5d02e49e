"""Square cut-outs for networks, and the way back from their cameras to the picture's.

Pixels as everywhere: the centre of the top-left pixel is (0.5, 0.5), in pictures and in cut-outs.
"""

from dataclasses import dataclass

import cv2
import numpy as np

IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Mean and standard deviation of red, green and blue in 0..255."""
ALIASED = 1.1  # shrinking more than this needs a blur first


@dataclass(frozen=True)
class Crop:
    """A square region of a picture, turned upright and, for left hands, mirrored.

    Attributes:
        centre: (2,) px in the picture.
        side: length of its edges in the picture [px].
        size: length of its edges in the cut-out [px].
        roll: [rad] by which the region is turned in the picture, positive from x (right) towards y (down).
        mirrored: left and right are exchanged in the cut-out.
    """

    centre: np.ndarray
    side: float
    size: int
    roll: float = 0.0
    mirrored: bool = False

    @property
    def matrix(self) -> np.ndarray:
        """(2, 3) from pixels of the picture to pixels of the cut-out."""
        turn = self.size / self.side * rotation_z(-self.roll)[:2, :2]
        shift = self.size / 2 - turn @ np.asarray(self.centre, float)
        if self.mirrored:
            turn[0], shift[0] = -turn[0], self.size - shift[0]
        return np.concatenate([turn, shift[:, None]], 1)

    def cut(self, image: np.ndarray) -> np.ndarray:
        """Return the cut-out (size, size, 3) uint8; outside the picture it is black."""
        shrink = self.side / self.size
        if shrink > ALIASED:
            image = cv2.GaussianBlur(image, (0, 0), (shrink - 1) / 2)
        indices = self.matrix.copy()  # OpenCV counts from the centre of the top-left pixel
        indices[:, 2] += indices[:, :2] @ [0.5, 0.5] - 0.5
        return cv2.warpAffine(image, indices, (self.size, self.size), flags=cv2.INTER_LINEAR)

    def ray(self, K: np.ndarray) -> np.ndarray:
        """Smallest rotation (3, 3) from the optical axis to the ray through the centre.

        A network sees its cut-out as if the camera looked straight at it.
        """
        x, y = (np.asarray(self.centre, float) - K[:2, 2]) / K[[0, 1], [0, 1]]
        axis = np.array([-y, x, 0.0])  # (0, 0, 1) × (x, y, 1)
        length = np.hypot(x, y)
        return cv2.Rodrigues(axis / max(length, 1e-12) * np.arctan(length))[0]

    def to_camera(self, weak: np.ndarray, K: np.ndarray) -> np.ndarray:
        """Turn a weak-perspective camera of the cut-out into a place (3,) [m] in the picture's camera axes.

        The part then covers the same pixels: depth is 2 f / (side · s).

        Args:
            weak: (3,) s, tx, ty with cut-out coordinates in −1..1 being s · (x + tx), y down.
            K: (3, 3) px.
        """
        s, *shift = np.asarray(weak, float)
        if self.mirrored:
            shift[0] = -shift[0]
        focal = K[[0, 1], [0, 1]]
        depth = 2 * focal[1] / (self.side * s)
        offset = rotation_z(self.roll)[:2, :2] @ shift
        # In a camera with square pixels the two focal lengths are one.
        return np.append(offset + (np.asarray(self.centre, float) - K[:2, 2]) / focal * depth, depth)


def rotation_z(angle: float) -> np.ndarray:
    """Rotation (3, 3) about the optical axis; in the picture from x (right) towards y (down)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def box_of(points: np.ndarray, confidence: np.ndarray, least: float, count: int) -> np.ndarray | None:
    """Return the box (4,) x0, y0, x1, y1 around the points that were seen; None if fewer than `count` were.

    Points that were not seen are left out: where they are said to be (a corner, often) means nothing.

    Args:
        points: (N, 2) px.
        confidence: (N,).
        least: confidence from which a point counts.
    """
    seen = points[confidence > least]
    return np.concatenate([seen.min(0), seen.max(0)]) if len(seen) >= count else None


def unmirror(rotmats: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) as they are on the other side of a mirror in the x = 0 plane."""
    sign = np.array([-1.0, 1.0, 1.0])
    return rotmats * sign[:, None] * sign


def columns_to_rotmats(rot6d: np.ndarray) -> np.ndarray:
    """Turn 6-D rotations (..., 6) as HaMeR and HMR2 give them into matrices (..., 3, 3).

    The six numbers are the first column, then the second, not yet of unit length nor at right angles.
    (PyTorch3D's and GVHMR's are the first two rows.)
    """
    first, second = rot6d[..., :3], rot6d[..., 3:]
    first = first / np.linalg.norm(first, axis=-1, keepdims=True)
    second = second - (first * second).sum(-1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], -1)


def rotvecs(rotmats: np.ndarray) -> np.ndarray:
    """Axis-angle (..., 3) [rad] of rotations (..., 3, 3) that networks round; float32."""
    from scipy.spatial.transform import Rotation

    flat = Rotation.from_matrix(rotmats.reshape(-1, 3, 3))
    return flat.as_rotvec().reshape(*rotmats.shape[:-2], 3).astype(np.float32)
