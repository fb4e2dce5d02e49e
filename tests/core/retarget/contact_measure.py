"""How well contacts are kept, measured on the full mesh with a KD-tree; knows nothing of how they are found or kept."""

from dataclasses import dataclass, fields, replace

import numpy as np
from constructed_motions import region, vertex_normals
from scipy.spatial import cKDTree

from emosh_core.artifacts import Motion
from emosh_core.body.ehm import EhmModel
from emosh_core.body.pose import pose_from_motion

TOUCH = 0.012  # [m] between surfaces that count as touching in the driver
PATCH = 0.006  # [m] vertices of a hand that are at most this much farther than its closest are where it touches
THIN = 0.05  # [m] behind a surface that is inside it and not behind the other side


@dataclass(frozen=True)
class Surfaces:
    """A hand and what it touches in some frames."""

    hand: np.ndarray
    """(T, P, 3) [m]."""
    other: np.ndarray
    """(T, Q, 3) [m]."""
    normals: np.ndarray
    """(T, Q, 3) of the other."""


def frames_of(motion: Motion, frames: np.ndarray | slice) -> Motion:
    """Return a motion of some frames only."""
    names = [field.name for field in fields(motion) if field.metadata.get("dims", "?")[0] == "frame"]
    return replace(motion, **{name: getattr(motion, name)[frames] for name in names})


def surfaces(motion: Motion, body: EhmModel, contact: str) -> Surfaces:
    """Pose the full mesh in all frames; return both sides of a contact."""
    hand, other = (region(body, side) for side in contact.split("-"))
    verts = body.with_shape_of(motion.shape).with_pose(pose_from_motion(motion)).verts
    normals = np.stack([vertex_normals(v, body.faces)[other].numpy() for v in verts])
    return Surfaces(verts[:, hand].numpy(), verts[:, other].numpy(), normals)


def heights(hand: np.ndarray, other: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each vertex of a hand (P,) its height over the other surface [m] and the nearest vertex there.

    Inside the other it is negative. Near the surface it is the distance from the tangent plane of the
    nearest vertex, elsewhere from the vertex itself.
    """
    distance, nearest = cKDTree(other).query(hand)
    height = ((hand - other[nearest]) * normals[nearest]).sum(1)
    return np.where(distance < THIN, height, distance), nearest


def contact_errors(driver: Surfaces, target: Surfaces) -> dict[str, np.ndarray]:
    """Compare a contact on a target with the driver's, in the frames in which the driver touches.

    Returns:
        Per touched frame [m]: `gap`, the height of the hand's lowest vertex over the other surface, the
        target's minus the driver's, absolute (so it grows when a hand floats and when it sinks in);
        `place`, how far the touching vertices of the hand are from where they touch on the driver;
        `error`, the larger of the two. And `frames`, which they are.
    """
    rows = {"gap": [], "place": [], "error": [], "frames": []}
    for t in range(len(driver.hand)):
        before, nearest = heights(driver.hand[t], driver.other[t], driver.normals[t])
        if before.min() > TOUCH:
            continue
        after, _ = heights(target.hand[t], target.other[t], target.normals[t])
        touching = before < before.min() + PATCH
        apart = [s.hand[t][touching] - s.other[t][nearest[touching]] for s in (driver, target)]
        gap, place = abs(after.min() - before.min()), np.linalg.norm((apart[1] - apart[0]).mean(0))
        for key, value in (("gap", gap), ("place", place), ("error", max(gap, place)), ("frames", t)):
            rows[key].append(value)
    return {key: np.array(values) for key, values in rows.items()}


def skates(motion: Motion, body: EhmModel, stands: np.ndarray) -> np.ndarray:
    """Return how far each standing foot slides over the ground in each of its stands (N,) [m].

    It is the diameter of the path of the middle of the sole's vertices.

    Args:
        stands: (T, 2) bool: left, right foot stands on the driver.
    """
    verts = body.with_shape_of(motion.shape).with_pose(pose_from_motion(motion)).verts.numpy()
    slides = []
    for k, foot in enumerate(("left_foot", "right_foot")):
        rows = region(body, foot).numpy()
        low = rows[body.template[rows, 1].numpy() < np.quantile(body.template[rows, 1].numpy(), 0.3)]
        path = verts[:, low][..., [0, 2]].mean(1)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], stands[:, k].astype(int), [0]])))
        for start, stop in zip(edges[::2], edges[1::2]):
            step = path[start:stop]
            slides.append(np.linalg.norm(step[:, None] - step[None], axis=-1).max())
    return np.array(slides)
