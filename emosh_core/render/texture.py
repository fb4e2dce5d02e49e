"""A texture for the body from one picture of it: seen texels, mirrored ones, guessed ones."""

import functools
import itertools
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from emosh_kernels.rasterize import rasterize
from scipy.spatial import cKDTree

from emosh_core.body.ehm import EhmModel
from emosh_core.geometry.camera import project
from emosh_core.render.colors import mean_in_t_pose
from emosh_core.render.continuation import OTHER, continue_colors, texel_places
from emosh_core.render.picture import fill, sample
from emosh_core.render.shade import vertex_normals

SIDE = 1024
"""Width and height of the texture [px]."""
FACING, FACING_HEAD = (0.15, 0.6), (0.08, 0.3)
"""Cosine between surface and line of sight below which a texel is not, and above which it is fully, trusted.

The head is fitted better than the rest, and what it hides is harder to guess.
"""
DEPTH_TOLERANCE = 0.012
"""How far behind the nearest surface around its pixel [m] a texel surely is seen; at twice that it is not."""
BY_HANDS = 0.02
"""Share of the picture's height around a hand in which pixels of the hand's colour are not taken for clothes."""
RIM = 0.004
"""Pixels nearer to the outline than this share of the picture's height count less: the fit is not exact there."""


@dataclass(frozen=True)
class Sight:
    """A posed body in front of the camera that took a picture."""

    image: np.ndarray
    """(H, W, 3) float32 RGB, 0..255."""
    inner: np.ndarray
    """(H, W) float32 in [0, 1]: how surely a pixel shows the person."""
    hands: np.ndarray
    """(H, W) bool: shows a hand, or is near one and of its colour."""
    depth: np.ndarray
    """(H, W) nearest surface at and around each pixel [m]."""
    verts: np.ndarray
    """(V, 3) camera axes [m]."""
    normals: np.ndarray
    """(V, 3) camera axes."""
    K: np.ndarray

    def observe(self, corners: np.ndarray, bary: np.ndarray, hand: np.ndarray, head: np.ndarray):
        """Return colour (N, 3) and weight (N, 1) of surface points.

        Args:
            corners, bary: (N, 3) where they lie: vertices and their weights.
            hand, head: (N,) bool, which lie on a hand and on the head.
        """
        points, normals = (np.einsum("nk,nkc->nc", bary, values[corners]) for values in (self.verts, self.normals))
        pixels = project(points, self.K)
        facing = -(points * normals).sum(1) / np.linalg.norm(points, axis=1).clip(1e-6)
        low, high = np.where(head[:, None], FACING_HEAD, FACING).T
        weight = ((facing - low) / (high - low)).clip(0, 1)
        height, width = self.depth.shape
        column, row = np.floor(pixels.clip(-1, 1e6)).astype(int).T
        seen = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (points[:, 2] > 0)
        column, row = column.clip(0, width - 1), row.clip(0, height - 1)
        weight *= self._unhidden(points[:, 2], row, column)
        seen &= hand | ~self.hands[row, column]
        return sample(self.image, pixels), (weight * seen * self.inner[row, column])[:, None].astype(np.float32)

    def _unhidden(self, depth: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Return which share (N,) of the pixels around theirs shows nothing in front of points at a depth (N,) [m].

        Percentage-closer filtering (Reeves et al. 1987): what the chin hides of the neck ends softly.
        """
        reach, (height, width) = _rim(len(self.depth)), self.depth.shape
        shares = []
        for up, right in itertools.product((-reach, 0, reach), repeat=2):
            nearest = self.depth[(row + up).clip(0, height - 1), (column + right).clip(0, width - 1)]
            shares.append((2 - (depth - nearest).clip(0) / DEPTH_TOLERANCE).clip(0, 1))
        return np.mean(shares, axis=0)


def see(image: np.ndarray, mask: np.ndarray | None, verts_cam: torch.Tensor, body: EhmModel, K: np.ndarray) -> Sight:
    """Put a fitted body in front of the picture that it was fitted to.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, the person's pixels, if known.
        verts_cam: (V, 3) [m].
    """
    fragments = rasterize(verts_cam[None], body.faces, torch.as_tensor(K), image.shape[:2])
    face_id = fragments.face_id[0].numpy()
    person = face_id >= 0
    person = person if mask is None else person & mask
    # A picture's border cuts the person but is no outline.
    padded = np.pad(person, 1, mode="edge").astype(np.uint8)
    inner = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    return Sight(
        image=image.astype(np.float32),
        inner=((inner - 1) / max(1, RIM * len(image))).clip(0, 1),
        hands=_hand_pixels(image, (face_id >= 0) & on_hand(body)[face_id], person),
        depth=cv2.erode(fragments.depth[0].numpy(), np.ones((5, 5), np.uint8)),
        verts=verts_cam.numpy(),
        normals=vertex_normals(verts_cam[None], body.faces)[0].numpy(),
        K=K,
    )


def _hand_pixels(image: np.ndarray, hands: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Add to the pixels that fitted hands cover those nearby that look alike: fingers are fitted to their width."""
    sure = hands & person
    if not sure.any():
        return hands
    reach = max(3, round(BY_HANDS * image.shape[0])) | 1
    near = cv2.dilate(hands.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0
    alike = np.linalg.norm(image.astype(np.float32) - np.median(image[sure], axis=0), axis=2) < 2 * OTHER
    return hands | (near & (cv2.dilate(alike.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0))


def _rim(height: int) -> int:
    """Return how far [px] the fit may miss in a picture of a height."""
    return max(3, round(RIM * height))


def on_hand(body: EhmModel) -> np.ndarray:
    """Return which faces (F,) belong to a hand."""
    return np.isin(body.face_part.numpy(), [body.part_names.index(f"hand.{side}") for side in "LR"])


def fit_texture(sight: Sight, body: EhmModel) -> np.ndarray:
    """Return the body's texture (SIDE, SIDE, 3) float32 RGB, 0..255, v pointing up as in `EhmModel.uv`.

    A texel that the picture shows is taken from there; else, if it shows its mirror image on the
    other half of the body, from that; else it continues what is seen nearby.
    """
    covered, face, bary = _atlas(body)
    corners = body.faces.numpy()[face]
    colors, known = np.zeros((len(face), 3), np.float32), np.zeros((len(face), 1), np.float32)
    hand, head = on_hand(body)[face], body.head_mask.numpy()[corners[:, 0]] > 0.5
    for seen_corners in (mirrored_verts(body)[corners], corners):
        color, weight = sight.observe(seen_corners, bary, hand, head)
        colors += weight * (color - colors)
        known += weight * (1 - known)
    colors /= known.clip(1e-6)  # they began black, which half-seen texels must not keep
    colors = continue_colors(colors, known[:, 0], texel_places(body, corners, bary, face), sight.image.mean((0, 1)))
    texture = np.zeros((SIDE, SIDE, 3), np.float32)
    texture[covered] = colors
    return fill(texture, covered.astype(np.float32))


def texture_pixels(body: EhmModel) -> np.ndarray:
    """Return where each row of `EhmModel.uv` lies in the texture (U, 2) [px]."""
    return (body.uv.numpy() * [SIDE, -SIDE] + [0, SIDE]).astype(np.float32)


@functools.lru_cache(maxsize=2)
def mirrored_verts(body: EhmModel) -> np.ndarray:
    """Return for each vertex the one (V,) on the other half of the body."""
    verts = mean_in_t_pose(body).verts[0].numpy()
    return cKDTree(verts).query(verts * [-1, 1, 1])[1]


@functools.lru_cache(maxsize=2)
def _atlas(body: EhmModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which texels the body uses (SIDE, SIDE), and the face (N,) and place (N, 3) on it of each."""
    flat = torch.as_tensor(np.pad(texture_pixels(body), ((0, 0), (0, 1)), constant_values=1))
    fragments = rasterize(flat[None], body.face_uv, torch.eye(3), (SIDE, SIDE))
    face = fragments.face_id[0].numpy()
    return face >= 0, face[face >= 0], fragments.bary[0].numpy()[face >= 0]
