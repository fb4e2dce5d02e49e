"""A texture for the body from one picture of it: seen texels, mirrored ones, guessed ones."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from emosh_kernels.rasterize import rasterize
from scipy.spatial import cKDTree

from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import HEAD, JAW
from emosh_core.geometry.camera import project
from emosh_core.render.colors import mean_in_t_pose
from emosh_core.render.picture import fill, sample
from emosh_core.render.shade import vertex_normals

SIDE = 1024
"""Width and height of the texture [px]."""
FACING = (0.1, 0.4)
"""Cosine between surface and line of sight below which a texel is not, and above which it is fully, trusted."""
DEPTH_TOLERANCE = 0.012
"""How far behind the nearest surface around its pixel a texel may lie and count as seen [m]."""
RIM = 2.5
"""Pixels this near to the outline [px] count less: the fit is not exact there."""
INSIDE = {"mouth_cavity": (70, 25, 25), "tongue": (140, 70, 70)}
"""Colours (RGB, 0..255) of what a closed mouth hides."""
NEIGHBOURS = 6


@dataclass(frozen=True)
class Sight:
    """A posed body in front of the camera that took a picture."""

    image: np.ndarray
    """(H, W, 3) float32 RGB, 0..255."""
    inner: np.ndarray
    """(H, W) float32 in [0, 1]: how surely a pixel shows the person."""
    depth: np.ndarray
    """(H, W) nearest surface at and around each pixel [m]."""
    verts: np.ndarray
    """(V, 3) camera axes [m]."""
    normals: np.ndarray
    """(V, 3) camera axes."""
    K: np.ndarray

    def observe(self, corners: np.ndarray, bary: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return colour (N, 3) and weight (N, 1) of surface points, given as corners and weights (N, 3)."""
        points, normals = (np.einsum("nk,nkc->nc", bary, values[corners]) for values in (self.verts, self.normals))
        pixels = project(points, self.K)
        facing = -(points * normals).sum(1) / np.linalg.norm(points, axis=1).clip(1e-6)
        low, high = FACING
        weight = ((facing - low) / (high - low)).clip(0, 1)
        height, width = self.depth.shape
        column, row = np.floor(pixels.clip(-1, 1e6)).astype(int).T
        seen = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (points[:, 2] > 0)
        column, row = column.clip(0, width - 1), row.clip(0, height - 1)
        seen &= points[:, 2] <= self.depth[row, column] + DEPTH_TOLERANCE
        return sample(self.image, pixels), (weight * seen * self.inner[row, column])[:, None].astype(np.float32)


def see(image: np.ndarray, mask: np.ndarray | None, verts_cam: torch.Tensor, body: EhmModel, K: np.ndarray) -> Sight:
    """Put a fitted body in front of the picture that it was fitted to.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, the person's pixels, if known.
        verts_cam: (V, 3) [m].
    """
    fragments = rasterize(verts_cam[None], body.faces, torch.as_tensor(K), image.shape[:2])
    person = fragments.face_id[0].numpy() >= 0
    person = person if mask is None else person & mask
    # A picture's border cuts the person but is no outline.
    padded = np.pad(person, 1, mode="edge").astype(np.uint8)
    inner = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    return Sight(
        image=image.astype(np.float32),
        inner=((inner - 1) / RIM).clip(0, 1),
        depth=cv2.erode(fragments.depth[0].numpy(), np.ones((5, 5), np.uint8)),
        verts=verts_cam.numpy(),
        normals=vertex_normals(verts_cam[None], body.faces)[0].numpy(),
        K=K,
    )


def fit_texture(sight: Sight, body: EhmModel) -> np.ndarray:
    """Return the body's texture (SIDE, SIDE, 3) float32 RGB, 0..255, v pointing up as in `EhmModel.uv`.

    A texel that the picture shows is taken from there; else, if it shows its mirror image on the
    other half of the body, from that; else it gets a smooth guess from the nearest seen surface.
    """
    faces, mirror = body.faces.numpy(), mirrored_verts(body)
    covered, face, bary = _atlas(body)
    corners = faces[face]
    colors = np.einsum("nk,nkc->nc", bary, _guess(sight, body)[corners])
    for seen_corners in (mirror[corners], corners):
        color, weight = sight.observe(seen_corners, bary)
        colors += weight * (color - colors)
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


def _guess(sight: Sight, body: EhmModel) -> np.ndarray:
    """Return a colour (V, 3) for every vertex, smooth where nothing was seen."""
    mirror, place = mirrored_verts(body), mean_in_t_pose(body).verts[0].numpy()
    own = np.arange(len(place))
    known, colors = np.zeros(len(place), bool), np.zeros((len(place), 3), np.float32)
    for rows in (mirror, own):
        color, weight = sight.observe(np.repeat(rows[:, None], 3, 1), np.full((len(rows), 3), 1 / 3, np.float32))
        good = weight[:, 0] > 0.2
        known, colors = known | good, np.where(good[:, None], color, colors)
    head = body.head_mask.numpy() > 0.5
    if not known.any():
        return np.broadcast_to(sight.image.mean((0, 1)), colors.shape).astype(np.float32)
    place, groups = place * np.where(head, 1.0, 0.5)[:, None] ** [0, 0, 1], _groups(body, head)
    for wanted, source in groups:
        wanted, source = wanted & ~known, source & known
        source = source if source.sum() >= NEIGHBOURS else known
        distance, near = cKDTree(place[source]).query(place[wanted], k=np.arange(min(NEIGHBOURS, source.sum())) + 1)
        share = 1 / (distance + 0.005) ** 2
        colors[wanted] = np.einsum("nk,nkc->nc", share / share.sum(1, keepdims=True), colors[source][near])
    _color_unseen_hands(body, colors, known, head)
    for part, color in INSIDE.items():
        colors[body.faces[body.face_part == body.part_names.index(part)].unique().numpy()] = color
    return colors


def _groups(body: EhmModel, head: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of vertex sets (V,): who gets a guess, and from whom.

    Behind the trunk lies what its front shows. Behind the face does not: the back of the head is
    like its crown, hair or not.
    """
    posed = mean_in_t_pose(body)
    verts, joints = posed.verts[0].numpy(), posed.joints[0].numpy()
    back = head & (verts[:, 2] < joints[HEAD, 2]) & (verts[:, 1] > joints[JAW, 1] - 0.02)
    crown = head & (verts[:, 1] > np.quantile(verts[head, 1], 0.85))
    return [(head & ~back, head), (back, crown), (~head, ~head)]


def _color_unseen_hands(body: EhmModel, colors: np.ndarray, known: np.ndarray, head: np.ndarray) -> None:
    """Give hands of which nothing was seen the colour of the face, not that of the sleeves, in place."""
    parts = [body.part_names.index(f"hand.{side}") for side in "LR"]
    hands = body.faces[torch.isin(body.face_part, torch.tensor(parts))].unique().numpy()
    if known[hands].mean() < 0.03 and (known & head).any():
        colors[hands] = np.median(colors[known & head], axis=0)
