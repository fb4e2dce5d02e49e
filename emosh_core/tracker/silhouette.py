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
from emosh_core.tracker.initialize import CAM_TO_WORLD
from emosh_core.tracker.normal import NormalEquations
from emosh_core.tracker.parameters import Observations, Parameters
from emosh_core.tracker.points import body_moves, body_turning, landmarks_of, place

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
    """Which of `rim_candidates` each contour point pulls."""

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


def match(contours: Contours, verts: Tensor, body: EhmModel, K: Tensor, reach: float) -> Matches:
    """Find the rim vertex that each contour point belongs to.

    Args:
        contours: T frames.
        verts: (T, V, 3) m, all vertices of the full mesh, world axes.
        body: the full model.
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
    return Matches(index, contours, weight)


class Rim:
    """The outline term of the shape pass: matched vertices of the rim lie on the outline, along its normal.

    Args:
        contours: outlines of some frames.
        frames: (T',) which frames of the fit these are.
    """

    def __init__(self, body: EhmModel, contours: Contours, frames: Tensor):
        self._body, self._contours, self._frames = body, contours, frames
        self._points, self._skeleton = landmarks_of(body, rim_candidates(body))
        self.matches: Matches | None = None

    def match(self, p: Parameters, K: Tensor, reach: float) -> None:
        """Match the contours anew to the mesh."""
        some = p.frames(self._frames)
        with torch.no_grad():
            shaped = self._body.with_shape(p.betas_body, p.betas_head)
            verts = shaped.with_rotmats(some.rotmats(), some.expression, some.transl).verts
        self.matches = match(self._contours, verts, self._body, K, reach)

    def add(self, equations: NormalEquations, p: Parameters, seen: Observations, weight: float, derivatives: bool):
        """Add Σ w ρ((n · (π(X) − x))² / σ²) to equations of place, root, body pose and shape."""
        some = p.frames(self._frames)
        points, skeleton = self._points.shaped(p.betas), self._skeleton.shaped(p.betas)
        turned, joints = skeleton.posed(some.rotmats(), some.transl)
        placed = place(points, turned, joints)
        index = self.matches.vertex
        pick = lambda values: torch.stack([value[row] for value, row in zip(values, index, strict=True)])  # noqa: E731
        cam = pick(placed.places) * CAM_TO_WORLD.diagonal()
        z = cam[..., 2].clip(min=1e-3)
        sigma = seen.metre[self._frames][:, None] * SIGMA
        normals, focal = self._contours.normals, seen.K[[0, 1], [0, 1]]
        across = ((project(cam, seen.K) - self._contours.points) * normals).sum(-1, keepdim=True) / sigma[..., None]
        jacobian = None
        if derivatives:
            moves = (
                pick(body_moves(placed, body_turning(turned, some.body_pose), skeleton))
                * CAM_TO_WORLD.diagonal()[:, None]
            )
            slope = focal[:, None] * (moves[..., :2, :] - (cam[..., :2] / z[..., None])[..., None] * moves[..., 2:, :])
            jacobian = (normals[..., None] * slope).sum(-2, keepdim=True) / (z * sigma)[..., None, None]
        share = weight * EFFECTIVE_POINTS / index.shape[-1]
        equations.add(jacobian, across, share * self.matches.weight, frames=self._frames)
