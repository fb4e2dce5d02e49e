"""What belongs to the person but sticks out of the mesh (hair, loose clothes), as a sheet that moves along."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from emosh_kernels.rasterize import rasterize
from scipy.ndimage import distance_transform_edt
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree
from torch import Tensor

from emosh_core.artifacts import Motion
from emosh_core.body.ehm import EhmModel, PosedBody
from emosh_core.body.joints import EYES, HANDS, HEAD, JAW, WRISTS
from emosh_core.body.pose import zero_pose
from emosh_core.geometry.camera import to_camera
from emosh_core.render.view import View

CELLS = 160
"""Cells of the sheet along the picture's longer side."""
BEHIND = 0.01
"""The sheet hangs this far behind the surface that carries it [m], so that the mesh covers its inner part."""
SMOOTH = 12
"""Neighbouring points of the sheet that share their skin weights."""
TEAR = 1.8
"""A piece of the sheet stretched by more than this is not drawn."""
FARTHEST = 0.35
"""What lies farther from the mesh than this [m] is a mistake of the segmentation."""
REACH = 0.25
"""The sheet is cut where it would span body parts that lie farther apart than this in the T-pose [m]."""


@dataclass(frozen=True, eq=False)
class Fringe:
    """The sheet in the T-pose, skinned like the body."""

    faces: Tensor
    """(F, 3)."""
    picture: np.ndarray
    """(H, W, 4) float32, RGB 0..255 and alpha 0..1."""
    pixels: np.ndarray
    """(N, 2) where the sheet's points lie in `picture` [px]."""
    points: Tensor
    """(N, 3) in the T-pose [m]."""
    joints: Tensor
    """(55, 3) of the same T-pose [m]."""
    lbs_weights: Tensor
    """(N, 55)."""

    def unstretched(self, points: np.ndarray) -> Tensor:
        """Return the faces (G, 3) that are not torn when the sheet's points lie at `points` (N, 3) [m]."""
        faces = self.faces.numpy()
        longest = [_edges(place, faces).max(1) for place in (points, self.points.numpy())]
        return self.faces[torch.as_tensor(longest[0] < TEAR * longest[1])]

    def move(self, view: View) -> Tensor:
        """Return the sheet's points (T, N, 3) in camera axes [m]; the view's body has the reference's shape."""
        rotmats, shifts = _blend(view.posed, self.joints, self.lbs_weights)
        return to_camera((rotmats @ self.points[:, :, None])[..., 0] + shifts, view.w2c)


def cut_fringe(image: np.ndarray, mask: np.ndarray, motion: Motion, view: View, body: EhmModel) -> Fringe | None:
    """Cut the sheet out of the picture that a body was fitted to.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, the person's pixels.
        motion: the fit, one frame.
        view: the same as the camera sees it.

    Returns:
        The sheet, or None if nothing of the person sticks out.
    """
    fragments = rasterize(view.verts_cam, body.faces, torch.as_tensor(motion.K), image.shape[:2])
    face_id, depth = fragments.face_id[0].numpy(), fragments.depth[0].numpy()
    nodes, quads = _cells(mask, (face_id >= 0) & mask)
    if not len(quads) or not (face_id >= 0).any():
        return None
    column, row = np.minimum(nodes.astype(int), np.array(mask.shape[::-1]) - 1).T
    row, column = _carriers(face_id >= 0, mask)[:, row, column]
    carrier = body.faces[torch.as_tensor(face_id[row, column]).long(), 0]
    rest = body.with_shape_of(motion.shape).with_pose(zero_pose())
    home = rest.verts[0, carrier].numpy()
    share = _neighbours(nodes, home)
    lbs_weights = torch.as_tensor(share @ _stiff(body.lbs_weights)[carrier].numpy(), dtype=torch.float32)
    distance = share @ depth[row, column] + BEHIND
    rays = np.pad(nodes, ((0, 0), (0, 1)), constant_values=1) @ np.linalg.inv(motion.K).T
    rays = torch.as_tensor((rays * distance[:, None])[None], dtype=torch.float32)
    world = to_camera(rays, torch.linalg.inv(view.w2c))[0]
    rotmats, shifts = _blend(view.posed, rest.joints[0], lbs_weights)
    points = torch.linalg.solve(rotmats[0], (world - shifts[0])[..., None])[..., 0]
    away = np.linalg.norm(nodes - np.stack([column, row], 1), axis=1) * distance / motion.K[0, 0]
    span = np.ptp(home[quads], axis=1)
    quads = quads[(np.linalg.norm(span, axis=1) < REACH) & (away[quads] < FARTHEST).all(1)]
    alpha = cv2.GaussianBlur(cv2.erode(mask.astype(np.float32), np.ones((3, 3), np.uint8)), (0, 0), 0.8)
    return Fringe(
        faces=torch.as_tensor(np.concatenate([quads[:, [0, 2, 1]], quads[:, [1, 2, 3]]])),
        picture=np.dstack([image.astype(np.float32), alpha]),
        pixels=nodes.astype(np.float32), points=points, joints=rest.joints[0], lbs_weights=lbs_weights,
    )  # fmt: skip


def _cells(mask: np.ndarray, covered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return grid points (N, 2) [px] and the cells (Q, 4) that show person beside the mesh."""
    height, width = mask.shape
    step = max(mask.shape) / CELLS
    down, across = (max(2, round(side / step)) for side in mask.shape)
    y, x = np.linspace(0, height, down + 1), np.linspace(0, width, across + 1)
    nodes = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    beside = cv2.dilate((mask & ~covered).astype(np.uint8), np.ones((3, 3), np.uint8))
    wanted = cv2.resize(beside.astype(np.float32), (across, down), interpolation=cv2.INTER_AREA) > 0
    row, column = np.nonzero(wanted)
    corner = row * (across + 1) + column
    quads = np.stack([corner, corner + 1, corner + across + 1, corner + across + 2], 1)
    used, place = np.unique(quads, return_inverse=True)
    return nodes[used], place.reshape(quads.shape)


def _carriers(covered: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return row and column (2, H, W) of the mesh pixel that carries each pixel.

    It is the nearest by a path inside the person, so that the side of a coat hangs on the trunk even
    where a hand is nearer; pixels that no such path reaches take the nearest carried pixel's.
    """
    place = np.indices(covered.shape)
    carried, wanted = covered.copy(), mask & ~covered
    while True:
        before = carried.copy()
        for axis, step in ((0, 1), (1, 1), (0, -1), (1, -1)):
            shifted = np.roll(carried, step, axis)
            shifted[(slice(None),) * axis + ((0 if step > 0 else -1),)] = False
            new = shifted & wanted & ~carried
            place[:, new] = np.roll(place, step, axis + 1)[:, new]
            carried |= new
        if (before == carried).all():
            break
    nearest = distance_transform_edt(~carried, return_distances=False, return_indices=True)
    return place[:, nearest[0], nearest[1]]


def _neighbours(nodes: np.ndarray, home: np.ndarray) -> csr_matrix:
    """Return (N, N) averages over neighbouring points of the sheet that hang on the same part of the body."""
    near = cKDTree(nodes).query(nodes, k=min(SMOOTH, len(nodes)))[1]
    same = np.linalg.norm(home[near] - home[:, None], axis=2) < REACH / 2
    rows = np.repeat(np.arange(len(nodes)), near.shape[1])
    share = same / same.sum(1, keepdims=True)
    return csr_matrix((share.ravel(), (rows, near.ravel())), shape=(len(nodes), len(nodes)))


def _stiff(lbs_weights: Tensor) -> Tensor:
    """Let sleeves hang on wrists and hair on the head: fingers, jaw and eyes carry nothing."""
    stiff = lbs_weights.clone()
    for joint, children in ((HEAD, (JAW, *EYES)), *((WRISTS[side], HANDS[side]) for side in WRISTS)):
        stiff[:, joint] += stiff[:, list(children)].sum(1)
        stiff[:, list(children)] = 0
    return stiff


def _edges(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the three edge lengths (F, 3) of each face."""
    corners = points[faces]
    return np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2)


def _blend(posed: PosedBody, joints: Tensor, lbs_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return rotations (T, N, 3, 3) and shifts (T, N, 3) that bring skinned points from the T-pose to a pose."""
    shift = posed.joints - (posed.rotmats @ joints[..., None])[..., 0]
    return torch.einsum("nj,tjab->tnab", lbs_weights, posed.rotmats), lbs_weights @ shift
