"""MediaPipe's body, hand and face landmarks on the mean rest body."""

from dataclasses import dataclass

import numpy as np

import embedding
from embedding import Embedding
from emosh_core.body.joints import JOINT_NAMES

HAND_ORDER = ("thumb", "index", "middle", "ring", "pinky")
"""MediaPipe's order of fingers (SMPL-X swaps ring and pinky)."""


@dataclass(frozen=True)
class Body:
    """The mean rest body that landmarks are embedded on."""

    verts: np.ndarray  # (V, 3)
    joints: np.ndarray  # (55, 3)
    faces: np.ndarray  # (F, 3)
    weights: np.ndarray  # (V, 55)
    outer_faces: np.ndarray  # faces of the skin: no eyes, tongue, cavities
    eye_faces: dict[str, np.ndarray]  # faces of the "left" and "right" eyeball

    def joint(self, name: str) -> np.ndarray:
        return self.joints[JOINT_NAMES.index(name)]

    def extreme(self, joint: str, direction: np.ndarray) -> int:
        """Return the vertex of a joint's own skin that lies farthest along a direction."""
        own = self.weights[:, JOINT_NAMES.index(joint)] > 0.5
        return int(np.where(own, self.verts @ direction, -np.inf).argmax())


def finger_tips(body: Body) -> dict[str, int]:
    """Return the tip vertex of each finger by the name of its last joint."""
    tips = {}
    for side in ("left", "right"):
        for finger in HAND_ORDER:
            last = f"{side}_{finger}3"
            tips[last] = body.extreme(last, body.joint(last) - body.joint(f"{side}_{finger}2"))
    return tips


def palm_normal(body: Body, side: str) -> np.ndarray:
    """Return the direction (3,) through the flat of the hand."""
    wrist = body.joint(f"{side}_wrist")
    return np.cross(body.joint(f"{side}_index1") - wrist, body.joint(f"{side}_pinky1") - wrist)


def hand_landmarks(body: Body, side: str) -> Embedding:
    """Embed MediaPipe's 21 hand landmarks: wrist, then four per finger from base to tip."""
    tips = finger_tips(body)
    normal = palm_normal(body, side)
    wrist = embedding.inside(body.joint(f"{side}_wrist")[None], normal[None], body.verts, body.outer_faces)
    parts = [wrist]
    for finger in HAND_ORDER:
        names = [f"{side}_{finger}{k}" for k in (1, 2, 3)]
        points = np.stack([body.joint(name) for name in names])
        parts.append(embedding.inside(points, np.repeat(normal[None], 3, 0), body.verts, body.outer_faces))
        parts.append(embedding.on_vertices([tips[names[-1]]]))
    return embedding.stack(parts)


def body_landmarks(body: Body, face: np.ndarray, joint_offsets: dict[str, np.ndarray]) -> Embedding:
    """Embed MediaPipe Pose's 33 landmarks.

    Args:
        body: the mean rest body.
        face: (478, 3) the face landmarks' positions [m], for eyes, nose and mouth.
        joint_offsets: what to add to a limb joint [m] so that it lies where MediaPipe sees it, by joint name.
    """
    surface = lambda points: embedding.on_surface(np.asarray(points), body.verts, body.outer_faces)  # noqa: E731
    # In MediaPipe's mesh the subject's left eye is at 263 (outer) .. 362 (inner), the right one at 33 .. 133.
    eyes = [face[362], (face[362] + face[263]) / 2, face[263], face[133], (face[133] + face[33]) / 2, face[33]]
    parts = [surface([face[1], *eyes])]
    parts.append(surface([ear_point(body, 1.0), ear_point(body, -1.0)]))
    parts.append(surface([face[291], face[61]]))
    forward = np.array([0.0, 0.0, 1.0])

    def limbs(names, direction=forward):
        points = np.stack([body.joint(name) + joint_offsets.get(name, 0) for name in names])
        return embedding.inside(points, np.broadcast_to(direction, points.shape), body.verts, body.outer_faces)

    both = ("left", "right")
    for joint in ("shoulder", "elbow", "wrist"):
        parts.append(limbs([f"{side}_{joint}" for side in both]))
    for joint in ("pinky1", "index1", "thumb2"):
        parts.append(embedding.stack([limbs([f"{side}_{joint}"], palm_normal(body, side)) for side in both]))
    for joint in ("hip", "knee", "ankle"):
        parts.append(limbs([f"{side}_{joint}" for side in both]))
    parts.append(embedding.on_vertices([body.extreme(f"{side}_ankle", np.array([0, -0.5, -1.0])) for side in both]))
    parts.append(embedding.on_vertices([body.extreme(f"{side}_foot", forward) for side in both]))
    return embedding.stack(parts)


def ear_point(body: Body, sign: float) -> np.ndarray:
    """Return the middle of an ear: where the head is widest, about the height of the eyes and the nose."""
    eye_height = body.joint("left_eye_smplhf")[1]
    near = (np.abs(body.verts[:, 1] - eye_height + 0.02) < 0.03) & (body.weights[:, JOINT_NAMES.index("head")] > 0.9)
    widest = np.where(near, sign * body.verts[:, 0], -np.inf)
    rim = np.argsort(widest)[-20:]
    return body.verts[rim].mean(0) - np.array([sign * 0.008, 0, -0.01])


def face_landmarks(body: Body, face: np.ndarray) -> Embedding:
    """Embed the 478 face landmarks; the last ten are irises and lie on the eyeballs, right eye first."""
    parts = [embedding.on_surface(face[:468], body.verts, body.outer_faces)]
    parts.append(embedding.on_surface(face[468:473], body.verts, body.eye_faces["right"]))
    parts.append(embedding.on_surface(face[473:], body.verts, body.eye_faces["left"]))
    return embedding.stack(parts)
