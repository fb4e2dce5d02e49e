"""Keypoint detectors behind one Protocol; the default is MediaPipe Holistic, which runs offline.

MediaPipe 0.10's legacy solutions carry their models inside the wheel; the newer Tasks API does not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Protocol

import cv2
import numpy as np

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.quiet import quiet_native_stderr

N_KEYPOINTS = sum(KEYPOINTS.values())
HAND_SCORE = 0.8  # Holistic reports no score for a hand or face that it returns; these stand for "found"
FACE_SCORE = 0.9


@dataclass(frozen=True)
class Detections:
    """What a detector saw in T frames; points that were not found are 0 with confidence 0.

    Attributes:
        keypoints2d: (T, 553, 2) px, see `emosh_core.artifacts.KEYPOINTS`.
        depth: (T, 553) px, distance behind the part's own origin in the scale of x; 0 for the body.
        confidence: (T, 553) in [0, 1].
        body3d: (T, 33, 3) m, hip-centred, camera axes (x right, y down, z away); 0 where not found.
        silhouette: (T,) share of visible body keypoints that lie on the segmented person, in [0, 1].
    """

    keypoints2d: np.ndarray
    depth: np.ndarray
    confidence: np.ndarray
    body3d: np.ndarray
    silhouette: np.ndarray

    @staticmethod
    def concatenate(parts: list["Detections"]) -> "Detections":
        """Join detections of consecutive frames."""
        return Detections(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Detections)))


class Detector(Protocol):
    """Finds keypoints in consecutive frames; may use earlier frames of the same call."""

    name: str

    def detect(self, frames: Iterator[np.ndarray]) -> Detections:
        """Detect in uint8 RGB frames (H, W, 3) of one size."""


class MediaPipeDetector:
    """MediaPipe Holistic: 33 body, 2×21 hand and 478 face points.

    Args:
        static: treat every frame as an unrelated picture (single images).
    """

    name = "mediapipe-holistic-0.10"

    def __init__(self, *, static: bool = False):
        self._static = static

    def detect(self, frames: Iterator[np.ndarray]) -> Detections:
        """Detect in frames; each call starts afresh, so a call's result depends on its frames alone."""
        with quiet_native_stderr():
            import mediapipe as mp

            holistic = mp.solutions.holistic.Holistic(
                static_image_mode=self._static,
                model_complexity=1,
                refine_face_landmarks=True,
                enable_segmentation=True,
                smooth_segmentation=False,
            )
            face_mesh = mp.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True)
            with holistic, face_mesh:
                rows = [_detect_one(holistic, face_mesh, frame) for frame in frames]
        return Detections(*(np.stack(column) for column in zip(*rows, strict=True)))


def _detect_one(holistic, face_mesh, frame: np.ndarray) -> tuple[np.ndarray, ...]:
    height, width = frame.shape[:2]
    result = holistic.process(frame)
    points = np.zeros((N_KEYPOINTS, 3), np.float32)
    confidence = np.zeros(N_KEYPOINTS, np.float32)
    body3d = np.zeros((KEYPOINTS["body"], 3), np.float32)
    silhouette = np.float32(0)
    scale = np.array([width, height, width], np.float32)

    if result.pose_landmarks:
        body = keypoint_slice("body")
        points[body] = _xyz(result.pose_landmarks) * scale
        points[body, 2] = 0
        confidence[body] = [p.visibility for p in result.pose_landmarks.landmark]
        outside = ((points[body, :2] < 0) | (points[body, :2] > scale[:2])).any(-1)
        confidence[body][outside] *= 0.3  # extrapolated beyond the picture: a guess, however confident
        body3d = _xyz(result.pose_world_landmarks)
        silhouette = _share_on_mask(points[body, :2], confidence[body], result.segmentation_mask)
    for part, landmarks in (("left_hand", result.left_hand_landmarks), ("right_hand", result.right_hand_landmarks)):
        if landmarks:
            points[keypoint_slice(part)] = _xyz(landmarks) * scale
            confidence[keypoint_slice(part)] = HAND_SCORE
    face = _xyz(result.face_landmarks) * scale if result.face_landmarks else None
    if face is None and result.pose_landmarks:
        face = _face_in_crop(face_mesh, frame, points[keypoint_slice("body")][:11], confidence[:11])
    if face is not None:
        points[keypoint_slice("face")] = face
        confidence[keypoint_slice("face")] = FACE_SCORE
    return points[:, :2], points[:, 2], confidence, body3d, silhouette


def _xyz(landmarks) -> np.ndarray:
    return np.array([(p.x, p.y, p.z) for p in landmarks.landmark], np.float32)


def _share_on_mask(points: np.ndarray, confidence: np.ndarray, mask: np.ndarray | None) -> np.float32:
    """Return which share of the visible points lies on the segmented person."""
    visible = points[confidence > 0.5].astype(int)
    if mask is None or not len(visible):
        return np.float32(0)
    height, width = mask.shape
    inside = mask[visible[:, 1].clip(0, height - 1), visible[:, 0].clip(0, width - 1)] > 0.5
    return np.float32(inside.mean())


def _face_in_crop(face_mesh, frame: np.ndarray, head: np.ndarray, confidence: np.ndarray) -> np.ndarray | None:
    """Look again for the face in an enlarged crop around the head points of the pose (small faces)."""
    if confidence.mean() < 0.5:
        return None
    centre = head[:, :2].mean(0)
    radius = 2.2 * max(np.ptp(head[:, 0]), np.ptp(head[:, 1]), 8)
    height, width = frame.shape[:2]
    x0, y0 = np.maximum(centre - radius, 0).astype(int)
    x1, y1 = np.minimum(centre + radius, (width, height)).astype(int)
    if x1 - x0 < 16 or y1 - y0 < 16:
        return None
    zoom = 256 / max(x1 - x0, y1 - y0)
    crop = cv2.resize(frame[y0:y1, x0:x1], None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    found = face_mesh.process(crop).multi_face_landmarks
    if not found:
        return None
    return _xyz(found[0]) * np.array([x1 - x0, y1 - y0, x1 - x0], np.float32) + np.array([x0, y0, 0], np.float32)
