"""MediaPipe's body, hand and face landmarks on the mean rest body."""

from dataclasses import dataclass

import embedding
import numpy as np
from embedding import Embedding

from emosh_core.body.joints import JOINT_NAMES

HAND_ORDER = ("thumb", "index", "middle", "ring", "pinky")
"""MediaPipe's order of fingers (SMPL-X swaps ring and pinky)."""


LOWER_LIP = (95, 88, 178, 87, 14, 317, 402, 318, 324)
"""The inner edge of the lower lip. In a closed mouth it touches the upper one, which must not catch its points."""
LOWER_LIP_DROP = 0.011
"""How far skin sinks when the mouth is wide open [m]; what sinks farther belongs to the lower lip."""


@dataclass(frozen=True)
class Body:
    """The mean rest body that landmarks are embedded on."""

    verts: np.ndarray  # (V, 3)
    joints: np.ndarray  # (55, 3)
    faces: np.ndarray  # (F, 3)
    weights: np.ndarray  # (V, 55)
    outer_faces: np.ndarray  # faces of the skin: no eyes, tongue, cavities
    eye_faces: dict[str, np.ndarray]  # faces of the "left" and "right" eyeball
    jaw_drop: np.ndarray  # (V,) how far each vertex sinks when the mouth is wide open [m]

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


def hand_landmarks(body: Body, side: str, offsets: np.ndarray) -> Embedding:
    """Embed MediaPipe's 21 hand landmarks: wrist, then four per finger from base to tip.

    Args:
        body: the mean rest body.
        side: "left" or "right".
        offsets: (21, 3) from our joint or finger tip to the place that MediaPipe means [m].
    """
    tips = finger_tips(body)
    normal = palm_normal(body, side)[None]
    names = [f"{side}_wrist"] + [f"{side}_{finger}{k}" for finger in HAND_ORDER for k in (1, 2, 3, "_tip")]
    parts = []
    for name, offset in zip(names, offsets, strict=True):
        if name.endswith("tip"):
            point = body.verts[tips[name.replace("_tip", "3")]] + offset
            parts.append(embedding.on_surface(point[None], body.verts, body.outer_faces))
        else:
            parts.append(embedding.inside(body.joint(name)[None] + offset, normal, body.verts, body.outer_faces))
    return embedding.stack(parts)


def body_landmarks(body: Body, face: np.ndarray, offsets: np.ndarray) -> Embedding:
    """Embed MediaPipe Pose's 33 landmarks.

    Args:
        body: the mean rest body.
        face: (478, 3) the face landmarks' positions [m], for eyes, nose and mouth.
        offsets: (33, 3) from our joint or surface point to the place that MediaPipe means [m].
    """
    # In MediaPipe's mesh the subject's left eye is at 263 (outer) .. 362 (inner), the right one at 33 .. 133.
    surface = [face[1], face[362], face[473], face[263], face[133], face[468], face[33],
               ear_point(body, 1.0), ear_point(body, -1.0), face[291], face[61]]  # fmt: skip
    surface = np.array(surface) + offsets[:11]
    skin = np.concatenate([body.outer_faces, *body.eye_faces.values()])
    parts = [embedding.on_surface(surface, body.verts, skin)]
    limbs = ("shoulder", "elbow", "wrist", "pinky1", "index1", "thumb2", "hip", "knee", "ankle")
    row = 11
    for joint in limbs:
        for side in ("left", "right"):
            direction = palm_normal(body, side) if joint[-1].isdigit() else np.array([0.0, 0.0, 1.0])
            point = body.joint(f"{side}_{joint}") + offsets[row]
            parts.append(embedding.inside(point[None], direction[None], body.verts, body.outer_faces))
            row += 1
    ends = [("ankle", np.array([0, -0.5, -1.0])), ("foot", np.array([0, 0, 1.0]))]  # heel, tip of the toes
    for joint, direction in ends:
        for side in ("left", "right"):
            point = body.verts[body.extreme(f"{side}_{joint}", direction)] + offsets[row]
            parts.append(embedding.on_surface(point[None], body.verts, body.outer_faces))
            row += 1
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
    skin = embedding.on_surface(face[:468], body.verts, body.outer_faces)
    hanging = body.outer_faces[(body.jaw_drop[body.outer_faces] > LOWER_LIP_DROP).all(1)]
    lower = embedding.on_surface(face[list(LOWER_LIP)], body.verts, hanging)
    skin.verts[list(LOWER_LIP)], skin.weights[list(LOWER_LIP)] = lower.verts, lower.weights
    parts = [skin]
    parts.append(embedding.on_surface(face[468:473], body.verts, body.eye_faces["right"]))
    parts.append(embedding.on_surface(face[473:], body.verts, body.eye_faces["left"]))
    return embedding.stack(parts)
