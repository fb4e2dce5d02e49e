"""DWPose and RTMW through rtmlib: 133 points of a person in the tracker's layout.

They say nothing about depth and give 68 of the face's 478 points; so MediaPipe looks at the same frames, and
each answers for what it does better: these for body and hands in the picture, MediaPipe for the third
dimension and the face.
"""

import contextlib
import importlib.util
import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.errors import MissingDependencyError
from emosh_core.models import ONNX_FIX, open_network, require
from emosh_core.tracker.detectors import N_KEYPOINTS, Detections, Detector, MediaPipeDetector

VISIBLE = 0.3  # peak of a point's response from which it counts as seen
PERSON = 0.3  # likewise for a whole person
APART = 0.5  # of the extent of the points that both see: further apart the two detectors look at different people
TORSO, SHOULDERS = 0.5, 0.36  # [m] hips to shoulders, shoulder to shoulder: the scale of a flat skeleton
FACE_51 = (
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 98, 97, 2, 326, 327, 33, 160, 158, 133, 153, 144,
    362, 385, 387, 263, 373, 380, 61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14,
    178,
)  # fmt: skip
"""Mesh points where iBUG's points 17 to 67 are (brows, nose, eyes, mouth). The 17 of the contour have no
counterpart that is the same point from every side and are left out."""
BODY = {
    0: 0, 1: 2, 2: 5, 3: 7, 4: 8, 5: 11, 6: 12, 7: 13, 8: 14, 9: 15, 10: 16, 11: 23, 12: 24, 13: 25, 14: 26, 15: 27,
    16: 28, 17: 31, 19: 29, 20: 32, 22: 30,
}  # fmt: skip
"""COCO-WholeBody body and foot points and MediaPipe's: an eye is its middle, a big toe the foot's index; the
small toes have no counterpart."""
MIDDLE = np.array([*BODY.values()])


def wholebody_order() -> tuple[np.ndarray, np.ndarray]:
    """Return which of the 133 points go where among the 553: (M,) sources and (M,) places."""
    pairs = list(BODY.items())
    pairs += [(23 + 17 + i, keypoint_slice("face").start + mesh) for i, mesh in enumerate(FACE_51)]
    for side, first in (("left_hand", 91), ("right_hand", 112)):  # both count wrist, thumb, index … pinky
        pairs += [(first + i, keypoint_slice(side).start + i) for i in range(KEYPOINTS[side])]
    source, place = np.array(pairs).T
    return source, place


class DwposeDetector:
    """YOLOX finds people, DWPose or RTMW their points; both files are the user's.

    Args:
        beside: the detector that answers for depth and face; None leaves depth 0, and a skeleton in the
            picture's plane in place of `body3d`.

    Raises:
        AssetError: weights are not registered; `fix` is the command that adds them.
        MissingDependencyError: rtmlib or onnxruntime is not installed.
    """

    def __init__(self, beside: Detector | None):
        self._find, self._points = _load(require("dwpose-det").path, require("dwpose-pose").path)
        self._beside = beside
        self.name = "dwpose" if beside is None else f"dwpose+{beside.name}"

    @staticmethod
    def with_mediapipe(*, static: bool = False) -> "DwposeDetector":
        """The usual pair."""
        return DwposeDetector(MediaPipeDetector(static=static))

    def detect(self, frames: Iterator[np.ndarray]) -> Detections:
        """Detect the largest person of each frame; a frame without one has nothing but zeros."""
        rows = []

        def watched() -> Iterator[np.ndarray]:
            for frame in frames:
                rows.append(self._look(frame))
                yield frame

        if self._beside is None:
            for _ in watched():
                pass
            return _alone(rows)
        other = self._beside.detect(watched())
        return _combine(_alone(rows), other)

    def _look(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (553, 2) [px] and confidence (553,) of the largest person."""
        points, confidence = np.zeros((N_KEYPOINTS, 2), np.float32), np.zeros(N_KEYPOINTS, np.float32)
        boxes = self._people(frame)
        if len(boxes):
            box = max(boxes, key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))
            found, score = self._points(frame, bboxes=[box])
            source, place = wholebody_order()
            seen = score[0][source] >= VISIBLE
            # rtmlib counts from the centre of the top-left pixel, we from its corner.
            points[place[seen]] = found[0][source][seen] + 0.5
            confidence[place[seen]] = score[0][source][seen].clip(0, 1)
        return points, confidence

    def _people(self, frame: np.ndarray) -> np.ndarray:
        """Boxes (P, 4); of a detector of many classes only the people."""
        found = self._find(frame)
        if isinstance(found, tuple):
            boxes, classes = found
            found = boxes[classes == 0] if len(boxes) else boxes
        return np.asarray(found)


def _load(detector: str, pose: str):
    """Open both networks in rtmlib, which says on stdout what it loads."""
    missing = [name for name in ("onnxruntime", "rtmlib", "tqdm") if importlib.util.find_spec(name) is None]
    if missing:
        fix = f"{ONNX_FIX} tqdm && .venv/bin/pip install --no-deps rtmlib"
        raise MissingDependencyError(f"DWPose needs {' and '.join(missing)}", fix=fix)
    import rtmlib

    sessions = open_network(detector), open_network(pose)
    device = "cuda" if "CUDAExecutionProvider" in sessions[0].get_providers() else "cpu"
    (find_height, find_width), (height, width) = (_size(s, d) for s, d in zip(sessions, ((640, 640), (384, 288))))
    many = sessions[0].get_outputs()[0].shape[-1] != 5
    mode = "multiclass" if many else "human"  # rtmlib's "human" does not look at the class
    with contextlib.redirect_stdout(io.StringIO()):
        return (
            rtmlib.YOLOX(detector, (find_height, find_width), det_mode=mode, score_thr=PERSON, device=device),
            rtmlib.RTMPose(pose, (width, height), device=device),
        )


def _size(session, usual: tuple[int, int]) -> tuple[int, int]:
    shape = session.get_inputs()[0].shape[2:]
    return tuple(shape) if all(isinstance(size, int) for size in shape) else usual


def _alone(rows: list[tuple[np.ndarray, np.ndarray]]) -> Detections:
    points, confidence = (np.stack(column) for column in zip(*rows, strict=True))
    body = keypoint_slice("body")
    found = confidence[:, body].max(-1) > 0  # that a person detector fired is what the silhouette stands for
    flat = _flat(points[:, body], confidence[:, body])
    return Detections(points, np.zeros_like(confidence), confidence, flat, found.astype(np.float32))


def _flat(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """A skeleton (T, 33, 3) [m] in the picture's plane, hip-centred: all that points without depth say.

    Trunk or shoulders, whichever is seen less foreshortened, tell the scale; without hips the shoulders are the centre.
    """
    hips, shoulders = points[:, [23, 24]].mean(1), points[:, [11, 12]].mean(1)
    with_hips = confidence[:, [23, 24]].min(-1) > 0
    height = np.where(with_hips, np.linalg.norm(shoulders - hips, axis=-1), 0) / TORSO
    across = np.linalg.norm(points[:, 11] - points[:, 12], axis=-1) / SHOULDERS
    pixels_per_metre = np.maximum(np.maximum(height, across), 1)
    centre = np.where(with_hips[:, None], hips, shoulders)
    flat = np.zeros((*points.shape[:2], 3), np.float32)
    flat[..., :2] = (points - centre[:, None]) / pixels_per_metre[:, None, None]
    flat[confidence == 0] = 0
    return flat


def _combine(ours: Detections, other: Detections) -> Detections:
    """Body and hands from ours, depth and face from the other; a frame in which they see two people is the other's."""
    body = keypoint_slice("body")
    there = other.confidence[:, body].max(-1) > 0
    same = _look_at_the_same(ours, other) | ~there
    points, confidence = other.keypoints2d.copy(), other.confidence.copy()
    takes = np.zeros(points.shape[:2], bool)
    takes[:, MIDDLE] = ours.confidence[:, MIDDLE] > 0
    for part in ("left_hand", "right_hand"):
        takes[:, keypoint_slice(part)] = ours.confidence[:, keypoint_slice(part)].mean(-1, keepdims=True) > VISIBLE
    face = keypoint_slice("face")
    takes[:, face] = (other.confidence[:, face].max(-1, keepdims=True) == 0) & (ours.confidence[:, face] > 0)
    takes &= same[:, None]
    points[takes], confidence[takes] = ours.keypoints2d[takes], ours.confidence[takes]
    alone = same & ~there
    return replace(
        other,
        keypoints2d=points,
        confidence=confidence,
        body3d=np.where(alone[:, None, None], ours.body3d, other.body3d),
        silhouette=np.where(alone, ours.silhouette, other.silhouette),
    )


def _look_at_the_same(ours: Detections, other: Detections) -> np.ndarray:
    """(T,) bool: the points that both see lie closer together than half their extent."""
    same = np.zeros(len(ours.confidence), bool)
    for t in range(len(same)):
        both = MIDDLE[np.minimum(ours.confidence[t, MIDDLE], other.confidence[t, MIDDLE]) > VISIBLE]
        if len(both):
            theirs = other.keypoints2d[t, both]
            apart = np.linalg.norm(ours.keypoints2d[t, both] - theirs, axis=-1)
            same[t] = np.median(apart) < APART * max(np.ptp(theirs, axis=0).max(), 1)
    return same
