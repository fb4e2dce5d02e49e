"""How far to trust what was detected: the person, the face, each hand and each limb, frame by frame.

Every test of a part gives a score in 0..1, the worst one counts. Trust begins where a score is good, lasts until it
is bad (hysteresis), and grows and fades over a moment, so that no part of a fit ever switches.
"""

from dataclasses import dataclass

import numpy as np

from emosh_core.artifacts import TRUST_PARTS, keypoint_slice
from emosh_core.geometry.spans import hysteresis, spans
from emosh_core.tracker.detectors import Detections
from emosh_core.tracker.initialize import LIMBS

BEGINS, GOES_ON = 0.6, 0.4
"""Scores at which trust begins and below which it ends."""
RAMP = 0.1
"""[s] in which trust grows and fades."""
PERSON_SILHOUETTE = 0.5
"""Share of visible points on the segmented person (poses are invented on empty pictures)."""
PERSON_RUN = 3
"""Frames in a row that a person without a face must be seen in a video."""
# (bad, good): a score is 0 at the first value, 1 at the second.
CONFIDENCE = (0.25, 0.75)
BODY_CONFIDENCE = (0.4, 0.6)
"""Mean of the most visible third of the body points."""
FACE_PIXELS, HAND_PIXELS = (10.0, 18.0), (7.0, 13.0)
"""Smaller ones carry no expression, no fingers."""
FACE_YAW, FACE_PITCH = (58.0, 34.0), (62.0, 40.0)
"""[degrees] in the camera's frame; beyond, half of the points are the detector's imagination."""
FACE_AGREEMENT = (0.5, 0.15)
"""Distance of the face's eyes, nose and mouth from the pose's, over the size of the face."""
WRIST_SLACK = (1.0, 0.4)
"""Distance of the hand's wrist from the arm's, in forearm lengths."""
HAND_INSIDE = (0.3, 0.7)
"""Share of a hand's points that lie in the picture."""
HANDS_APART = (0.15, 0.35)
"""Mean distance between both hands' points, in hand sizes: closer ones are one hand, seen twice."""
FACE_MARKS = {0: 1, 2: 468 + 5, 5: 468, 9: 291, 10: 61}
"""Points of the pose (nose, pupils, corners of the mouth) and the face's same points."""


@dataclass(frozen=True)
class Trust:
    """How far to trust each part; `values` is (T, 8) in 0..1, in the order of TRUST_PARTS."""

    values: np.ndarray

    def of(self, part: str) -> np.ndarray:
        """Return one part's trust (T,)."""
        return self.values[:, TRUST_PARTS.index(part)]

    def valid(self, part: str) -> np.ndarray:
        """Return where (T,) bool a part is trusted more than not."""
        return self.of(part) > 0.5


def judge(seen: Detections, size: tuple[int, int], fps: float = 30.0, shot: np.ndarray | None = None) -> Trust:
    """Decide from detections alone.

    Args:
        seen: T frames.
        size: of the frames [px].
        shot: (T,) number of the shot of each frame; trust does not reach across cuts.
    """
    shot = np.zeros(len(seen.silhouette), int) if shot is None else shot
    person, face = _person(seen), _face(seen)
    scores = {"face": face} | {f"{side}_hand": _hand(seen, side, size) for side in ("left", "right")}
    scores |= {limb: _soft(seen.confidence[:, list(marks)].min(-1), CONFIDENCE) for limb, (_, marks) in LIMBS.items()}
    apart = _hands_apart(seen)
    for side in ("left", "right"):
        scores[f"{side}_hand"] = np.minimum(scores[f"{side}_hand"], apart[side])
    values = {"person": person.astype(np.float64)}
    for part, score in scores.items():
        values[part] = np.concatenate([_lasting(score[shot == k], fps) for k in np.unique(shot)]) * person
    return Trust(np.stack([values[part] for part in TRUST_PARTS], -1).astype(np.float32))


def believe_all(seen: Detections) -> Trust:
    """Trust whatever was detected at all: what gating is measured against."""
    found = {part: seen.confidence[:, keypoint_slice(part)].max(-1) > 0 for part in ("face", "left_hand", "right_hand")}
    person = _person(seen)
    return Trust(np.stack([found.get(part, person) for part in TRUST_PARTS], -1).astype(np.float32))


def _person(seen: Detections) -> np.ndarray:
    """Somebody is there: a face, or a pose that lies on a segmented person for a while."""
    face = (seen.confidence[:, keypoint_slice("face")].mean(-1) > 0.5) & (_extent(seen, "face") > FACE_PIXELS[0])
    body = np.sort(seen.confidence[:, keypoint_slice("body")], -1)[:, -11:].mean(-1)
    standing = (body > np.mean(BODY_CONFIDENCE)) & (seen.silhouette > PERSON_SILHOUETTE)
    if len(standing) > 1:
        for start, stop in spans(standing):
            standing[start:stop] = stop - start >= PERSON_RUN
    return face | standing


def _face(seen: Detections) -> np.ndarray:
    part = keypoint_slice("face")
    size = _extent(seen, "face")
    yaw, pitch = _turned(seen, 33, 263, 0), _turned(seen, 10, 152, 1)
    confidence = seen.confidence[:, part].max(-1)
    marks, points = list(FACE_MARKS), [part.start + i for i in FACE_MARKS.values()]
    gap = np.linalg.norm(seen.keypoints2d[:, marks] - seen.keypoints2d[:, points], axis=-1).mean(-1)
    known = seen.confidence[:, marks].min(-1) > 0.5
    agreed = np.where(known, _soft(gap / np.maximum(size, 1e-6), FACE_AGREEMENT), 1.0)
    scores = _soft(confidence, CONFIDENCE), _soft(size, FACE_PIXELS), _soft(yaw, FACE_YAW), _soft(pitch, FACE_PITCH)
    return np.minimum.reduce([*scores, agreed])


def _turned(seen: Detections, start: int, end: int, axis: int) -> np.ndarray:
    """Return how far the line between two face points is turned out of the picture (T,) [degrees]."""
    a, b = (keypoint_slice("face").start + i for i in (start, end))
    along = np.abs(seen.keypoints2d[:, b, axis] - seen.keypoints2d[:, a, axis])
    return np.degrees(np.arctan2(np.abs(seen.depth[:, b] - seen.depth[:, a]), along))


def _hand(seen: Detections, side: str, size: tuple[int, int]) -> np.ndarray:
    """Found, large enough, in the picture, and where the arm says that the wrist is (if the arm is seen)."""
    part = keypoint_slice(f"{side}_hand")
    points, found = seen.keypoints2d[:, part], seen.confidence[:, part]
    elbow, wrist = (13, 15) if side == "left" else (14, 16)
    arm = seen.keypoints2d[:, [elbow, wrist]]
    arm_seen = seen.confidence[:, [elbow, wrist]].min(-1) > 0.5
    reach = np.maximum(np.linalg.norm(arm[:, 1] - arm[:, 0], axis=-1), _extent(seen, f"{side}_hand"))
    slack = np.linalg.norm(points[:, 0] - arm[:, 1], axis=-1) / np.maximum(reach, 1e-6)
    near = np.where(arm_seen, _soft(slack, WRIST_SLACK), 1.0)
    inside = ((points >= 0) & (points < np.array(size))).all(-1).mean(-1)
    return np.minimum.reduce([
        _soft(found.mean(-1), CONFIDENCE), _soft(_extent(seen, f"{side}_hand"), HAND_PIXELS), near,
        _soft(inside, HAND_INSIDE),
    ])  # fmt: skip


def _hands_apart(seen: Detections) -> dict[str, np.ndarray]:
    """Score each hand by whether it is the other one; of two that coincide the one nearer to its arm is right."""
    left, right = (seen.keypoints2d[:, keypoint_slice(f"{side}_hand")] for side in ("left", "right"))
    both = np.minimum(*(seen.confidence[:, keypoint_slice(f"{s}_hand")].mean(-1) for s in ("left", "right"))) > 0
    size = np.maximum(_extent(seen, "left_hand"), _extent(seen, "right_hand"))
    gap = np.linalg.norm(left - right, axis=-1).mean(-1) / np.maximum(size, 1e-6)
    doubt = np.where(both, _soft(gap, HANDS_APART), 1.0)
    off = {"left": left[:, 0] - seen.keypoints2d[:, 15], "right": right[:, 0] - seen.keypoints2d[:, 16]}
    left_is_right = np.linalg.norm(off["left"], axis=-1) <= np.linalg.norm(off["right"], axis=-1)
    return {"left": np.where(left_is_right, 1.0, doubt), "right": np.where(left_is_right, doubt, 1.0)}


def _extent(seen: Detections, part: str) -> np.ndarray:
    """Diagonal of the box around a part's detected points (T,) [px]; 0 where there are none."""
    rows = keypoint_slice(part)
    known = seen.confidence[:, rows, None] > 0
    points = seen.keypoints2d[:, rows]
    low, high = np.where(known, points, np.inf).min(1), np.where(known, points, -np.inf).max(1)
    return np.where(known.any((1, 2)), np.linalg.norm(np.maximum(high - low, 0), axis=-1), 0.0)


def _soft(values: np.ndarray, edges: tuple[float, float]) -> np.ndarray:
    """Return 0 at the first edge, 1 at the second, a line between."""
    bad, good = edges
    return np.clip((values - bad) / (good - bad), 0, 1)


def _lasting(score: np.ndarray, fps: float) -> np.ndarray:
    """Return trust (T,) from a part's scores in one shot."""
    trusted = hysteresis(score >= BEGINS, score >= GOES_ON)
    index, trust = np.arange(len(score)), trusted.astype(np.float64)
    for start, stop in spans(trusted):
        inside = index[start:stop]
        edge = np.full(stop - start, np.inf)
        if start > 0:
            edge = np.minimum(edge, inside - start + 1)
        if stop < len(score):
            edge = np.minimum(edge, stop - inside)
        trust[start:stop] = np.minimum(edge / (RAMP * fps + 1), 1)
    return trust
