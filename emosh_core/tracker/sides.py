"""Mend frames in which the detector took a person's left for the right.

A pose detector sometimes believes that it sees a back. The face knows better where it is seen, and
nobody turns round between two frames.
"""

from dataclasses import replace

import numpy as np
from scipy.ndimage import binary_dilation

from emosh_core.artifacts import keypoint_slice
from emosh_core.tracker.detectors import Detections

PARTNER = np.array([0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(i + (1 if i % 2 else -1) for i in range(11, 33))])
"""The body point that each one becomes in a mirror."""
LIMBS = np.arange(11, 33)
TORSO = ((11, 12), (23, 24))  # left and right shoulder, left and right hip
TURNED = 0.15  # width of the torso over its height from which a front is told from a back
CONFUSED = 5  # frames before and after a swapped one in which the detector's tracking has lost the limbs as well
DOUBT = 0.2  # what is left of the confidence there (seen: limbs drawn together); the neighbours in time say more
BETTER = 0.7  # a swap must bring the points at least this much closer to the neighbouring frame


def mend_sides(seen: Detections, facing: np.ndarray) -> Detections:
    """Swap left and right in the frames where they are the wrong way round.

    Args:
        seen: T frames.
        facing: (T,) bool, the face is seen and looks at the camera more or less.

    Returns:
        Detections with the body points, hands and 3-D skeleton of those frames swapped, and less
        confidence in the body around them.
    """
    width = _torso_width(seen)
    known = facing & (np.abs(width) > TURNED)
    wrong = known & (width < 0)  # seen from the front the subject's left is on the picture's right
    body = seen.keypoints2d[:, keypoint_slice("body")]
    sure = seen.confidence[:, keypoint_slice("body")]
    anchors = np.flatnonzero(known)
    if len(anchors):
        forward = [(t, t - 1) for t in range(anchors[0] + 1, len(wrong)) if not known[t]]
        backward = [(t, t + 1) for t in range(anchors[0] - 1, -1, -1)]
        for t, neighbour in forward + backward:
            before = body[neighbour][PARTNER] if wrong[neighbour] else body[neighbour]
            wrong[t] = _swap_is_closer(body[t], before, sure[t] * sure[neighbour])
    mended = _swapped(seen, wrong)
    near = binary_dilation(wrong, iterations=CONFUSED) if wrong.any() else wrong
    confidence = mended.confidence.copy()
    confidence[np.ix_(near, LIMBS)] *= DOUBT
    return replace(mended, confidence=confidence)


def _torso_width(seen: Detections) -> np.ndarray:
    """Signed width of the torso over its height (T,): positive from the front, 0 where it is not seen."""
    points = seen.keypoints2d
    across = np.mean([points[:, left, 0] - points[:, right, 0] for left, right in TORSO], 0)
    height = np.linalg.norm(points[:, [11, 12]].mean(1) - points[:, [23, 24]].mean(1), axis=-1)
    return np.where(seen.confidence[:, 11:13].min(-1) > 0.5, across / np.maximum(height, 1), 0)


def _swap_is_closer(points: np.ndarray, before: np.ndarray, weight: np.ndarray) -> bool:
    weight = weight[LIMBS]
    as_is = (weight * np.linalg.norm(points[LIMBS] - before[LIMBS], axis=-1)).sum()
    swapped = (weight * np.linalg.norm(points[PARTNER][LIMBS] - before[LIMBS], axis=-1)).sum()
    return bool(swapped < BETTER * as_is)


def _swapped(seen: Detections, wrong: np.ndarray) -> Detections:
    order = np.arange(seen.keypoints2d.shape[1])
    body, left, right = (keypoint_slice(part) for part in ("body", "left_hand", "right_hand"))
    order[body], order[left], order[right] = PARTNER, order[right].copy(), order[left].copy()
    pick = lambda values: np.where(wrong.reshape(-1, *[1] * (values.ndim - 1)), values[:, order], values)  # noqa: E731
    # A front taken for a back has its depth inside out as well.
    other = seen.body3d[:, PARTNER] * np.array([1, 1, -1], np.float32)
    return replace(
        seen,
        keypoints2d=pick(seen.keypoints2d),
        depth=pick(seen.depth),
        confidence=pick(seen.confidence),
        body3d=np.where(wrong[:, None, None], other, seen.body3d),
    )
