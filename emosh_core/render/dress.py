"""Fit the body's surface to the clothed outline: sleeves and trousers become part of the mesh that moves."""

from dataclasses import replace

import cv2
import numpy as np
import torch
from emosh_kernels.rasterize import rasterize
from scipy.sparse import csr_matrix, diags, identity
from scipy.sparse.linalg import spsolve

from emosh_core.artifacts import Motion
from emosh_core.body.ehm import EhmModel, ShapedBody
from emosh_core.render.shade import vertex_normals
from emosh_core.render.view import View

THICKEST = 0.06
"""Cloth that stands off the body farther than this [m] (skirts, long hair) is left to the fringe."""
DEEPEST = 0.02
"""How far the surface may move inwards [m] where the fit sticks out of the person."""
STEP = 0.5
"""Step of the search for the outline [px]."""
GRAZING = 0.5
"""Least cosine between a vertex normal and the outline's; elsewhere the outline does not tell the thickness."""
BEND, HOLD = 20.0, 0.002
"""Weights of smoothness and of staying where the body is, against one outline pixel per vertex."""
SPIKE = 0.006
"""Deviation of a single outline pixel from the smooth surface [m] that makes it half as credible."""
STIFF_PARTS = ("hand.", "eye_", "mouth_cavity", "tongue")
EXPRESSIVE = 0.002
"""Vertices that an expression moves farther than this [m] stay where the fit put them."""


def dress(shaped: ShapedBody, motion: Motion, view: View, mask: np.ndarray) -> ShapedBody:
    """Move the surface along its normals until its outline is the person's.

    The offset is the smoothest one, in the sense of the mesh's bi-Laplacian, that agrees with the
    outline; what the camera does not see edge-on follows.

    Args:
        shaped: the person without clothes.
        motion: the fit, one frame.
        view: the same as the camera sees it.
        mask: (H, W) bool, the person's pixels.
    """
    body = shaped.model
    vertex, offset = _outline_offsets(view, body, motion.K[0], mask)
    hold = np.where(_stiff(body), 1e3, HOLD)
    laplacian = _laplacian(body.faces.numpy(), len(body.template))
    bend, solved = BEND * (laplacian.T @ laplacian), None
    for _ in range(2):
        # What the smooth surface of the first round does not reach is a mistake of the segmentation.
        trust = 1 if solved is None else 1 / (1 + ((offset - solved[vertex]) / SPIKE) ** 2)
        weight, total = (np.bincount(vertex, w, len(hold)) for w in (trust * np.ones(len(vertex)), trust * offset))
        share = np.minimum(weight, 1) / np.maximum(weight, 1e-9)
        solved = spsolve((diags(share * weight + hold) + bend).tocsc(), share * total)
    solved = torch.as_tensor(solved.clip(-DEEPEST, THICKEST), dtype=shaped.rest_verts.dtype)
    normals = vertex_normals(shaped.rest_verts[None], body.faces)[0]
    return replace(shaped, rest_verts=shaped.rest_verts + solved[:, None] * normals)


def _outline_offsets(view: View, body: EhmModel, K: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (N,) on the mesh's outline and how far along its normal the person's outline lies (N,) [m]."""
    seen = rasterize(view.verts_cam, body.faces, torch.as_tensor(K), mask.shape)
    face_id, depth = seen.face_id[0].numpy(), seen.depth[0].numpy()
    covered = face_id >= 0
    rim = covered & (cv2.erode(covered.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) == 0)
    row, column = np.nonzero(rim)
    soft = cv2.GaussianBlur(covered.astype(np.float32), (0, 0), 2.0)
    outward = -np.stack([cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)], -1)[row, column]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True).clip(1e-6)
    pixel = depth[row, column] / K[0, 0]
    distance = _to_outline(np.stack([column, row], 1) + 0.5, outward, covered, mask, THICKEST / pixel.min())
    corner = seen.bary[0].numpy()[row, column].argmax(1)
    vertex = body.faces.numpy()[face_id[row, column], corner]
    normals = vertex_normals(view.verts_cam, body.faces)[0].numpy()[vertex]
    cosine = (normals[:, :2] * outward).sum(1)
    offset = distance * pixel / cosine.clip(GRAZING)
    good = np.isfinite(offset) & (cosine > GRAZING) & (offset < THICKEST) & (offset > -DEEPEST)
    return vertex[good], offset[good]


def _to_outline(start, outward, covered, mask, farthest: float) -> np.ndarray:
    """Return the signed distance (N,) [px] from pixels on the mesh's rim to the mask's rim; NaN where there is none.

    A way that ends at another part of the mesh counts half: two trouser legs share the gap.
    """
    reach = np.arange(0, farthest + 1, STEP)
    out = _look_up(mask, covered, start, outward, reach[3:])  # the first pixel and a half is the mesh's own
    leaves, meets = ~out[0], out[1]
    stops = leaves | meets
    first = stops.argmax(1)
    one = np.arange(len(start))
    grow = np.where(stops.any(1), reach[3:][first] - STEP / 2 - 0.5, np.nan)
    grow = np.where(meets[one, first] & ~leaves[one, first], grow / 2, grow)
    grow = np.where(first == 0, 0, grow)
    inside, _ = _look_up(mask, covered, start, -outward, reach)
    shrink = np.where(inside.any(1), -reach[inside.argmax(1)], np.nan)
    return np.where(inside[:, 0], grow, shrink)


def _look_up(mask, covered, start, direction, reach) -> tuple[np.ndarray, np.ndarray]:
    """Return what mask and mesh say (N, S) along rays; beyond the picture's border the border goes on."""
    height, width = mask.shape
    points = (start[:, None] + reach[None, :, None] * direction[:, None]).astype(int)
    column, row = points[..., 0].clip(0, width - 1), points[..., 1].clip(0, height - 1)
    return mask[row, column], covered[row, column]


def _stiff(body: EhmModel) -> np.ndarray:
    """Return which vertices (V,) wear nothing: hands, eyes, mouth and what expressions move."""
    stiff = np.zeros(len(body.template), bool)
    parts = [i for i, name in enumerate(body.part_names) if name.startswith(STIFF_PARTS)]
    stiff[body.faces[torch.isin(body.face_part, torch.tensor(parts))].unique().numpy()] = True
    moved = body.expression_dirs.norm(dim=1).amax(1) > EXPRESSIVE
    stiff[body.expression_verts[moved].numpy()] = True
    return stiff


def _laplacian(faces: np.ndarray, count: int) -> csr_matrix:
    """Return the (V, V) difference between a vertex and the mean of its neighbours."""
    ends = np.concatenate([faces[:, [i, (i + 1) % 3]] for i in range(3)])
    ends = np.concatenate([ends, ends[:, ::-1]])
    joined = csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (count, count))
    joined.data[:] = 1
    share = diags(1 / np.maximum(np.asarray(joined.sum(1)).ravel(), 1))
    return identity(count, format="csr") - share @ joined
