"""What a detector sees in made frames: where the joints are, how eyelids and mouth move."""

from dataclasses import dataclass

import numpy as np
from bench_synth import facing, heights
from driven_clips import Take

from emosh_core.artifacts import keypoint_slice
from emosh_core.metrics.following import course_following, joint_errors
from emosh_core.synth.clip import LIPS, MOUTH_CORNERS
from emosh_core.tracker.detectors import Detections, MediaPipeDetector
from emosh_core.tracker.eyelids import LIDS, openness

BODY = (0, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""MediaPipe's points that are scored: nose, shoulders, elbows, wrists, hips, knees, ankles."""
CONFIDENT = 0.5
LEAST_FACE = 60.0
"""Faces less tall than this in the made picture are too small to read eyelids in [px]."""
LEAST_CHANGE = {"blink": 0.5, "mouth": 0.1}
"""A course that really changes less than this between its extremes is not scored."""
LEAST_FRAMES = 20
"""Frames that face the camera which a course needs."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is scored in a clip, settled by the truth and by what the detector finds in the true frames alone."""

    joints: np.ndarray
    """(T, len(BODY)) bool: really visible, and the detector is sure of it in the true frame."""
    face: np.ndarray
    """(T,) bool: the face is turned to the camera, and found in the true frame."""
    courses: dict[str, np.ndarray]
    """True courses (T,) that change enough, in a clip whose face is large enough."""


def look(frames: list[np.ndarray]) -> Detections:
    """Detect in the consecutive frames of a clip."""
    return MediaPipeDetector().detect(iter(frames))


def asked_of(take: Take, film: Detections, side: int) -> Asked:
    """Settle what is scored.

    Args:
        film: what is detected in the true frames.
        side: of the pictures that the generators make [px].
    """
    rows = keypoint_slice("body").start + np.array(BODY)
    face = facing(take.motion) & take.motion.face_valid & _face_found(film)
    tall = np.median(heights(take.motion)["face"]) * side / take.motion.size[1] >= LEAST_FACE
    true = {"blink": take.truth.blink.mean(1), "mouth": take.truth.mouth_open}
    courses = {
        name: course
        for name, course in true.items()
        if tall and face.sum() >= LEAST_FRAMES and np.ptp(course[face]) >= LEAST_CHANGE[name]
    }
    return Asked(
        joints=take.truth.keypoint_visible[:, rows] & (film.confidence[:, rows] > CONFIDENT), face=face, courses=courses
    )


def follow(take: Take, seen: Detections, asked: Asked) -> dict[str, float]:
    """Score what was detected in frames of the size of the clip's own.

    Returns:
        joint_error, a share of the rows that the person covers, and joint_error_of_stature, of how tall they would
        stand there; `blink` and `mouth`, correlations, where they are asked for.
    """
    body = keypoint_slice("body").start + np.array(BODY)
    found = seen.confidence[:, keypoint_slice("body")].max(1) > 0
    points, truth = seen.keypoints2d[:, body], take.motion.keypoints2d[:, body]
    result = {}
    tall = {"joint_error": _covered(take.truth.mask), "joint_error_of_stature": heights(take.motion)["body"]}
    for name, height in tall.items():
        errors = joint_errors(points, truth, asked.joints, found, height)
        result[name] = float(errors.mean()) if len(errors) else float("nan")
    measured, read = courses_of(seen), _face_found(seen)
    for name, course in asked.courses.items():
        rows = asked.face
        result[name] = course_following(measured[name][rows], course[rows], read[rows])
    return result


def courses_of(seen: Detections) -> dict[str, np.ndarray]:
    """Return how far the eyes are closed and the mouth is open (T,) each, in scales of their own."""
    points = seen.keypoints2d[:, keypoint_slice("face")]
    gap, width = (np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in (LIPS, MOUTH_CORNERS))
    closed = -np.mean([openness(points, side) for side in LIDS], axis=0)
    return {"blink": closed, "mouth": gap / np.maximum(width, 1e-6)}


def _face_found(seen: Detections) -> np.ndarray:
    return seen.confidence[:, keypoint_slice("face")].max(1) > 0


def _covered(mask: np.ndarray) -> np.ndarray:
    """Return how many rows the person reaches over in each picture (T,) of (T, H, W); one where nobody is seen."""
    rows = mask.any(2)
    reach = rows.shape[1] - rows.argmax(1) - rows[:, ::-1].argmax(1)
    return np.where(rows.any(1), reach, 1).astype(np.float64)
