"""Which frames, faces and hands may be trusted."""

from dataclasses import dataclass

import numpy as np

from emosh_core.artifacts import keypoint_slice
from emosh_core.tracker.detectors import Detections

PERSON_CONFIDENCE = 0.5  # mean confidence of the most visible third of the body points
PERSON_SILHOUETTE = 0.5  # share of visible points on the segmented person (poses are invented on empty pictures)
PERSON_RUN = 3  # frames in a row that a person without a face must be seen in a video
FACE_PIXELS = 14.0  # smaller faces carry no expression
FACE_TURN = 45.0  # [degrees] beyond which half of the points are the detector's imagination
HAND_PIXELS = 10.0  # likewise for fingers
WRIST_SLACK = 0.7  # distance of the hand's wrist from the arm's wrist, in forearm lengths


@dataclass(frozen=True)
class Validity:
    """Boolean masks (T,): the person is there; the face, each hand can be read."""

    person: np.ndarray
    face: np.ndarray
    left_hand: np.ndarray
    right_hand: np.ndarray


def judge(detections: Detections) -> Validity:
    """Decide from detections alone what is trusted in each frame."""
    face_points = detections.keypoints2d[:, keypoint_slice("face")]
    face = (detections.confidence[:, keypoint_slice("face")].mean(-1) > 0.5) & (_extent(face_points) > FACE_PIXELS)
    readable = face & (_face_turn(detections) < FACE_TURN)
    body = np.sort(detections.confidence[:, keypoint_slice("body")], -1)[:, -11:].mean(-1)
    standing = (body > PERSON_CONFIDENCE) & (detections.silhouette > PERSON_SILHOUETTE)
    person = face | (_runs(standing, PERSON_RUN) if len(standing) > 1 else standing)
    return Validity(
        person, readable & person, _hand_valid(detections, "left") & person, _hand_valid(detections, "right") & person
    )


def _face_turn(detections: Detections) -> np.ndarray:
    """How far the face is turned away from the camera, left or right (T,) [degrees]."""
    outer_eyes = keypoint_slice("face").start + np.array([33, 263])
    across = np.abs(np.diff(detections.keypoints2d[:, outer_eyes, 0], axis=-1))[:, 0]
    behind = np.abs(np.diff(detections.depth[:, outer_eyes], axis=-1))[:, 0]
    return np.degrees(np.arctan2(behind, across))


def _hand_valid(detections: Detections, side: str) -> np.ndarray:
    """Found, large enough, and where the arm says the wrist is (if the arm is seen)."""
    part = keypoint_slice(f"{side}_hand")
    points = detections.keypoints2d[:, part]
    found = (detections.confidence[:, part].mean(-1) > 0.5) & (_extent(points) > HAND_PIXELS)
    elbow, wrist = (13, 15) if side == "left" else (14, 16)
    arm = detections.keypoints2d[:, [elbow, wrist]]
    arm_seen = detections.confidence[:, [elbow, wrist]].min(-1) > 0.5
    forearm = np.linalg.norm(arm[:, 1] - arm[:, 0], axis=-1)
    slack = np.maximum(WRIST_SLACK * forearm, _extent(points))
    near = np.linalg.norm(points[:, 0] - arm[:, 1], axis=-1) < slack
    return found & (near | ~arm_seen)


def _extent(points: np.ndarray) -> np.ndarray:
    """Diagonal of the box around points (T, N, 2) [px]."""
    return np.linalg.norm(np.ptp(points, axis=1), axis=-1)


def _runs(flags: np.ndarray, length: int) -> np.ndarray:
    """Keep only runs of at least `length` true values."""
    kept = np.zeros_like(flags)
    start = None
    for i, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = i
        if not flag and start is not None:
            kept[start:i] = i - start >= length
            start = None
    return kept
