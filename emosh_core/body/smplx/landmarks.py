"""Where MediaPipe's landmarks lie on SMPL-X: joints, single vertices, and points of the face on triangles."""

from dataclasses import dataclass

import numpy as np

from emosh_core.artifacts import KEYPOINTS
from emosh_core.body.joints import HEAD, JOINT_NAMES
from emosh_core.body.smplx.load import SMPLX, HeadFiles, ModelFile

VERTS = {
    "nose": 9120, "left_eye": 9448, "right_eye": 9929, "left_ear": 6, "right_ear": 616,
    "left_heel": 8846, "right_heel": 8635, "left_toe": 5770, "right_toe": 8463,
    "left_thumb": 5361, "left_index": 4933, "left_middle": 5058, "left_ring": 5169, "left_pinky": 5286,
    "right_thumb": 8079, "right_index": 7669, "right_middle": 7794, "right_ring": 7905, "right_pinky": 8022,
}  # fmt: skip
"""Vertices of SMPL-X; a finger's is its tip."""

STATIC = {
    "right_eye_outer": 19, "right_eye_inner": 22, "left_eye_inner": 25, "left_eye_outer": 28,
    "mouth_right": 31, "mouth_left": 37,
}  # fmt: skip
"""Among the 51 static points of the face, which are dlib's 68 from the 17th on."""

_SIDES = ("left", "right")
BODY = (
    "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear right_ear "
    "mouth_left mouth_right"
).split() + [
    f"{side}_{name}"
    for name in ("shoulder", "elbow", "wrist", "pinky1", "index1", "thumb2", "hip", "knee", "ankle", "heel", "toe")
    for side in _SIDES
]
"""MediaPipe's 33 body points: names of joints, of VERTS or of STATIC."""

HANDS = {
    side: [f"{side}_wrist"] + [
        f"{side}_{finger}{k}" for finger in ("thumb", "index", "middle", "ring", "pinky") for k in (1, 2, 3, "")
    ]
    for side in _SIDES
}  # fmt: skip
"""MediaPipe's 21 points of a hand: joints, and each finger's tip."""


@dataclass(frozen=True, kw_only=True)
class Landmarks:
    """Points as weighted sums of up to three of the V vertices or, counted from V on, of the 55 joints."""

    rows: np.ndarray
    """(N, 3) int64."""
    weights: np.ndarray
    """(N, 3)."""
    present: np.ndarray
    """(N,) bool; points that the files do not place lie at the head joint and mean nothing."""


def place_landmarks(body: ModelFile, head: ModelFile, files: HeadFiles) -> Landmarks:
    """Place the points of `artifacts.KEYPOINTS`.

    Body and hands are always there, of the face what MediaPipe's embedding on FLAME has (105 points), if it is there.
    """
    count = sum(KEYPOINTS.values())
    rows = np.full((count, 3), SMPLX.verts + HEAD)
    weights, present = np.zeros((count, 3)), np.zeros(count, bool)
    weights[:, 0] = 1
    names = [*BODY, *HANDS["left"], *HANDS["right"]]
    for i, name in enumerate(names):
        present[i] = True
        if name in STATIC:
            k = STATIC[name]
            rows[i], weights[i] = body.faces[body.landmark_faces[k]], body.landmark_bary[k]
        else:
            rows[i] = VERTS[name] if name in VERTS else SMPLX.verts + JOINT_NAMES.index(name)
    if files.face_points is not None:
        which, faces, bary = files.face_points
        points = len(names) + which
        rows[points], weights[points] = files.vertex_ids[head.faces[faces]], bary
        present[points] = True
    return Landmarks(rows=rows, weights=weights, present=present)
