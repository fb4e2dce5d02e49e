"""What belongs to the person but sticks out of the mesh (hair, skirts), as a sheet that moves along."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from emosh_kernels.rasterize import rasterize
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import splu
from torch import Tensor

from emosh_core.artifacts import Motion
from emosh_core.body.ehm import EhmModel, PosedBody, ShapedBody
from emosh_core.body.joints import EYES, HANDS, HEAD, JAW, JOINT_NAMES, WRISTS
from emosh_core.body.pose import zero_pose
from emosh_core.geometry.camera import to_camera
from emosh_core.render.picture import fill
from emosh_core.render.view import View

CELLS = 160
"""Cells of the sheet along the picture's longer side."""
OVERLAP = 3
"""Cells that the sheet goes on behind the mesh."""
BEHIND = 0.01
"""The sheet hangs this far behind the surface that carries it [m], so that the mesh covers its inner part."""
FADE_AT_ARMS, FADE = (1.3, 1.9), (4.0, 8.0)
"""Stretch at which the sheet begins to fade and at which nothing of it is left.

Between arm and trunk it tears early, for no clothes are there; a skirt between two legs does stretch.
"""
FARTHEST = 0.35
"""What lies farther from the mesh than this [m] is a mistake of the segmentation."""
SLIVER = 2.0
"""Strips along the mesh narrower than this [px] are no hair and no skirt but the outline's own noise."""

ARMS = [JOINT_NAMES.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist")]


@dataclass(frozen=True, eq=False)
class Fringe:
    """The sheet in the T-pose, skinned like the body."""

    faces: Tensor
    """(F, 3)."""
    texture: Tensor
    """(H, W, 4) float32, RGB times alpha and alpha, 0..1."""
    pixels: Tensor
    """(N, 2) where the sheet's points lie in `texture` [px]."""
    points: Tensor
    """(N, 3) in the T-pose [m]."""
    lengths: Tensor
    """(F, 3) edges of the faces in the still [m]."""
    joints: Tensor
    """(55, 3) of the same T-pose [m]."""
    lbs_weights: Tensor
    """(N, 55)."""

    def move(self, view: View) -> Tensor:
        """Return the sheet's points (T, N, 3) in camera axes [m]; the view's body has the reference's shape."""
        rotmats, shifts = _blend(view.posed, self.joints, self.lbs_weights)
        return to_camera((rotmats @ self.points[:, :, None])[..., 0] + shifts, view.w2c)

    def values(self, points: Tensor) -> Tensor:
        """Return what `emosh_kernels.composite.Layer` wants (T, N, 7) when the sheet lies at `points` (T, N, 3).

        A point fades by the most stretched face around it, so that no edge of a tear is ever seen.
        """
        arm = self.lbs_weights[:, ARMS].sum(1)[self.faces].amax(1)
        low, high = (loose + (tight - loose) * arm.clamp(max=0.2) / 0.2 for tight, loose in zip(FADE_AT_ARMS, FADE))
        stretch = (_edges(points, self.faces) / self.lengths).amax(-1)
        keep = ((high - stretch) / (high - low)).clamp(0, 1)
        opacity = points.new_ones(points.shape[:2])
        for corner in self.faces.T:
            opacity.scatter_reduce_(1, corner.expand(len(points), -1), keep, "amin")
        placed = self.pixels.expand(len(points), -1, -1)
        gains = opacity.new_ones(*opacity.shape, 3)
        return torch.cat([placed, gains, opacity[..., None], torch.zeros_like(opacity)[..., None]], -1)


def cut_fringe(
    image: np.ndarray, mask: np.ndarray, motion: Motion, view: View, shaped: ShapedBody
) -> Fringe | None:
    """Cut the sheet out of the picture that a body was fitted to.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, the person's pixels.
        motion: the fit, one frame.
        view: the same as the camera sees it.
        shaped: the body in `view`.

    Returns:
        The sheet, or None if nothing of the person sticks out.
    """
    body = shaped.model
    fragments = rasterize(view.verts_cam, body.faces, torch.as_tensor(motion.K[0]), image.shape[:2])
    face_id, depth = fragments.face_id[0].numpy(), fragments.depth[0].numpy()
    beside = _beside(face_id, depth, mask, body, float(motion.K[0, 0, 0]))
    if not beside.any():
        return None
    nodes, quads, inner = _cells(beside, mask, face_id >= 0)
    lbs_weights, distance = _continue_inwards(nodes, quads, inner, face_id, depth, body)
    rays = np.pad(nodes, ((0, 0), (0, 1)), constant_values=1) @ np.linalg.inv(motion.K[0]).T
    rays = torch.as_tensor((rays * (distance + BEHIND)[:, None])[None], dtype=torch.float32)
    world = to_camera(rays, torch.linalg.inv(view.w2c))[0]
    joints = shaped.with_pose(zero_pose()).joints[0]
    rotmats, shifts = _blend(view.posed, joints, lbs_weights)
    faces = quads[_shows(beside, nodes, quads)]
    faces = torch.as_tensor(np.concatenate([faces[:, [0, 2, 1]], faces[:, [1, 2, 3]]]))
    return Fringe(
        faces=faces, texture=_matte(image, mask), pixels=torch.as_tensor(nodes, dtype=torch.float32),
        points=torch.linalg.solve(rotmats[0], (world - shifts[0])[..., None])[..., 0],
        lengths=_edges(world[None], faces)[0], joints=joints, lbs_weights=lbs_weights,
    )  # fmt: skip


def _beside(face_id: np.ndarray, depth: np.ndarray, mask: np.ndarray, body: EhmModel, focal: float) -> np.ndarray:
    """Return the pixels (H, W) bool of the person beside the mesh that are worth a sheet.

    Beside hands there is none: what the fit of a hand missed would trail behind it as a ghost.
    """
    covered = face_id >= 0
    if not covered.any():
        return np.zeros_like(mask)
    away, (row, column) = distance_transform_edt(~covered, return_indices=True)
    hands = [i for i, name in enumerate(body.part_names) if name.startswith("hand.")]
    by_hand = np.isin(body.face_part.numpy()[face_id[row, column]], hands)
    near = away * depth[row, column] / focal < FARTHEST
    beside = (mask & ~covered & near & ~by_hand).astype(np.uint8)
    reach = 2 * round(SLIVER) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    # Opening removes strips; what is left grows back over the rim that opening took.
    core = cv2.morphologyEx(cv2.copyMakeBorder(beside, *[reach] * 4, cv2.BORDER_REPLICATE), cv2.MORPH_OPEN, kernel)
    return (cv2.dilate(core[reach:-reach, reach:-reach], kernel) > 0) & (beside > 0)


def _cells(beside: np.ndarray, mask: np.ndarray, covered: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return grid points (N, 2) [px], the person's cells (Q, 4) around the sheet, and the points on the mesh (N,)."""
    height, width = mask.shape
    step = max(mask.shape) / CELLS
    down, across = (max(2, round(side / step)) for side in mask.shape)
    y, x = np.linspace(0, height, down + 1), np.linspace(0, width, across + 1)
    nodes = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    share = cv2.resize((mask | beside).astype(np.float32), (across, down), interpolation=cv2.INTER_AREA)
    around = cv2.resize(beside.astype(np.float32), (across, down), interpolation=cv2.INTER_AREA) > 0
    around = cv2.dilate(around.astype(np.uint8), np.ones((2 * OVERLAP + 3,) * 2, np.uint8)) > 0
    row, column = np.nonzero((share > 0) & around)
    corner = row * (across + 1) + column
    quads = np.stack([corner, corner + 1, corner + across + 1, corner + across + 2], 1)
    used, place = np.unique(quads, return_inverse=True)
    nodes = nodes[used]
    on = covered[np.minimum(nodes[:, 1].astype(int), height - 1), np.minimum(nodes[:, 0].astype(int), width - 1)]
    return nodes, place.reshape(quads.shape), on


def _continue_inwards(nodes, quads, inner, face_id, depth, body: EhmModel) -> tuple[Tensor, np.ndarray]:
    """Continue skin weights (N, 55) and distance (N,) [m] of the mesh harmonically over the sheet.

    On the mesh the weights are its own; elsewhere each is the mean of its neighbours, so that a sheet
    between two legs follows both, the nearer one more.
    """
    height, width = face_id.shape
    column, row = np.minimum(nodes.astype(int), [width - 1, height - 1]).T
    if not inner.any():
        nearest = distance_transform_edt(face_id < 0, return_distances=False, return_indices=True)
        row, column, inner = *nearest[:, row, column], np.ones(len(nodes), bool)
    carrier = body.faces[torch.as_tensor(face_id[row, column]).clamp(min=0).long(), 0]
    # Not at the surface but where it turns away from the camera: inside the body, whichever way that turns.
    reach = 2 * round(1.5 * OVERLAP * max(face_id.shape) / CELLS) + 1
    depth = cv2.dilate(np.where(face_id >= 0, depth, 0), np.ones((reach, reach), np.uint8))
    known = np.column_stack([_stiff(body.lbs_weights)[carrier].numpy(), np.where(inner, depth[row, column], 0)])
    ends = quads[:, [[0, 1], [0, 2], [3, 1], [3, 2]]].reshape(-1, 2)
    ends = np.concatenate([ends, ends[:, ::-1]])
    joined = coo_matrix((np.ones(len(ends)), ends.T), (len(nodes),) * 2).tocsr()
    # A little pull towards the mean keeps islands that touch no mesh solvable.
    degree = np.asarray(joined.sum(1)).ravel()
    free = ~inner
    values = np.where(inner[:, None], known, 0)
    if free.any():
        mean, tiny = known[inner].mean(0), 1e-6
        system = (diags(degree + tiny) - joined)[free][:, free]
        values[free] = splu(system.tocsc()).solve(joined[free][:, inner] @ known[inner] + tiny * mean)
    weights = values[:, :-1] / values[:, :-1].sum(1, keepdims=True)
    return torch.as_tensor(weights, dtype=torch.float32), values[:, -1]


def _shows(beside: np.ndarray, nodes: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Return which cells (Q,) show something beside the mesh, or border on one that does."""
    reach = 2 * round(OVERLAP * max(beside.shape) / CELLS) + 1
    wide = cv2.dilate(beside.astype(np.uint8), np.ones((reach, reach), np.uint8)).cumsum(0).cumsum(1)
    wide = np.pad(wide, ((1, 0), (1, 0)))
    x0, y0 = nodes[quads[:, 0]].astype(int).T
    x1, y1 = np.ceil(nodes[quads[:, 3]]).astype(int).T
    return wide[y1, x1] - wide[y0, x1] - wide[y1, x0] + wide[y0, x0] > 0


def _matte(image: np.ndarray, mask: np.ndarray) -> Tensor:
    """Return the person cut out (H, W, 4), premultiplied; colours of its rim come from within."""
    sure = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1)
    colors = fill(image.astype(np.float32), sure.astype(np.float32)) / 255
    alpha = cv2.GaussianBlur(cv2.erode(mask.astype(np.float32), np.ones((3, 3), np.uint8)), (0, 0), 0.8)
    return torch.as_tensor(np.dstack([colors * alpha[..., None], alpha]).astype(np.float32))


def _stiff(lbs_weights: Tensor) -> Tensor:
    """Let sleeves hang on wrists and hair on the head: fingers, jaw and eyes carry nothing."""
    stiff = lbs_weights.clone()
    for joint, children in ((HEAD, (JAW, *EYES)), *((WRISTS[side], HANDS[side]) for side in WRISTS)):
        stiff[:, joint] += stiff[:, list(children)].sum(1)
        stiff[:, list(children)] = 0
    return stiff


def _edges(points: Tensor, faces: Tensor) -> Tensor:
    """Return the three edge lengths (T, F, 3) of each face."""
    corners = points[:, faces]
    return (corners - corners.roll(1, 2)).norm(dim=-1)


def _blend(posed: PosedBody, joints: Tensor, lbs_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return rotations (T, N, 3, 3) and shifts (T, N, 3) that bring skinned points from the T-pose to a pose."""
    shift = posed.joints - (posed.rotmats @ joints[..., None])[..., 0]
    return torch.einsum("nj,tjab->tnab", lbs_weights, posed.rotmats), lbs_weights @ shift
