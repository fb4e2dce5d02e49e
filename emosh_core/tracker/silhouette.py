"""Body width from outlines: points of a segmented person's contour pull the mesh's rim to them.

Keypoints tell how long limbs are, not how wide a body is; the outline does. Clothes count as body,
which is what a reference's build should be for whoever wears them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import HANDS, WRISTS
from emosh_core.geometry.camera import project
from emosh_core.render.shade import vertex_normals
from emosh_core.tracker import losses
from emosh_core.tracker.initialize import CAM_TO_WORLD

CONTOUR_POINTS = 400
BORDER = 4  # [px] contour points this close to the picture's edge are the edge's, not the person's
SIGMA = 0.015  # [m] how loosely an outline follows the body
EFFECTIVE_POINTS = 80.0
RIM = 0.35  # |cosine| between normal and line of sight below which a vertex is on the rim
NORMAL_PENALTY = 0.15  # [m] that a rim vertex facing the opposite way is put off by
VERTEX_STRIDE = 4
FEET = (7, 8, 10, 11)  # ankle and toe joints: shoes are no guide to anybody's shape


@dataclass(frozen=True)
class Contours:
    """Outlines of T frames, M points each."""

    points: Tensor  # (T, M, 2) px
    normals: Tensor  # (T, M, 2) unit vectors, outward
    weight: Tensor  # (T, M) 0 or 1


@dataclass(frozen=True)
class Matches:
    """Which vertex each contour point pulls; indices count the optimised model's vertices."""

    vertex: Tensor  # (T, M)
    contours: Contours
    weight: Tensor  # (T, M)


def trace(masks: list[np.ndarray]) -> Contours:
    """Sample the outlines of person masks (H, W) bool."""
    rows = [_trace_one(mask) for mask in masks]
    return Contours(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))


def _trace_one(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    height, width = mask.shape
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    empty = np.zeros((CONTOUR_POINTS, 2), np.float32)
    if not outlines:
        return empty, empty, empty[:, 0]
    pixels = max(outlines, key=cv2.contourArea)[:, 0]
    chosen = pixels[np.linspace(0, len(pixels), CONTOUR_POINTS, endpoint=False).astype(int)]
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(height, width) / 150)
    slope = np.stack([cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)], -1)
    normals = -slope[chosen[:, 1], chosen[:, 0]]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True).clip(1e-6)
    inside = (chosen >= BORDER).all(-1) & (chosen < np.array([width, height]) - BORDER).all(-1)
    return chosen.astype(np.float32) + 0.5, normals.astype(np.float32), inside.astype(np.float32)


def rim_candidates(body: EhmModel) -> Tensor:
    """Vertices (N,) that outlines may pull: no head (hair), no hands, no feet."""
    ignored = [*FEET, *WRISTS.values(), *(j for side in HANDS.values() for j in side)]
    plain = (body.head_mask < 0.01) & (body.lbs_weights[:, ignored].sum(-1) < 0.3)
    return torch.nonzero(plain)[::VERTEX_STRIDE, 0].contiguous()


def match(contours: Contours, verts: Tensor, body: EhmModel, small: EhmModel, K: Tensor, reach: float) -> Matches:
    """Find the rim vertex that each contour point belongs to.

    Args:
        contours: T frames.
        verts: (T, V, 3) m, all vertices of the full mesh, world axes.
        body, small: the full model, and the one that is optimised (keeps `rim_candidates`).
        K: (3, 3) px.
        reach: distance [m] beyond which nothing matches.
    """
    candidates = rim_candidates(body)
    cam = verts @ CAM_TO_WORLD
    normals = vertex_normals(cam, body.faces)[:, candidates]
    points = cam[:, candidates]
    rim = (normals * torch.nn.functional.normalize(points, dim=-1)).sum(-1).abs() < RIM
    metre = K[0, 0] / points[..., 2].mean(-1)
    flat = torch.nn.functional.normalize(normals[..., :2], dim=-1)
    distance = torch.cdist(contours.points, project(points, K)) / metre[:, None, None]
    turned = 1 - contours.normals @ flat.mT
    cost = distance + NORMAL_PENALTY * turned + torch.where(rim, 0.0, torch.inf)[:, None]
    best, index = cost.min(-1)
    weight = contours.weight * (best < reach)
    return Matches(torch.searchsorted(small.kept_verts, candidates)[index], contours, weight)


def outline_loss(points_cam: Tensor, matches: Matches, K: Tensor, pixels_per_metre: Tensor, reach: float) -> Tensor:
    """Distance of matched vertices (T, V, 3) [m] from the outline, along its normal; same unit as L_kpt."""
    index = matches.vertex[..., None].expand(-1, -1, 3)
    pixels = project(points_cam.gather(1, index), K)
    across = ((pixels - matches.contours.points) * matches.contours.normals).sum(-1)
    squared = (across / (pixels_per_metre[:, None] * SIGMA)).square()
    share = EFFECTIVE_POINTS / matches.weight.shape[-1]
    return (share * matches.weight * losses.robust(squared, reach)).sum(-1).mean()
