"""Whether a made video does what it was told: joints, courses of eyelids and mouth, and no drift."""

import numpy as np

from emosh_core.metrics.pose import correlation


def joint_errors(
    points: np.ndarray, truth: np.ndarray, asked: np.ndarray, found: np.ndarray, height: np.ndarray
) -> np.ndarray:
    """Return how far joints in a picture are from where they should be (N,), as shares of the person's height.

    In frames in which nobody was found each joint that is asked for is off by the whole height: a picture that shows
    no person does not go unpunished.

    Args:
        points, truth: (T, J, 2) [px].
        asked: (T, J) bool, joints that count.
        found: (T,) bool, frames in which a person was found.
        height: (T,) [px].
    """
    error = np.linalg.norm(points.astype(np.float64) - truth, axis=-1) / height[:, None]
    return np.where(found[:, None], error, 1.0)[asked]


def course_following(course: np.ndarray, truth: np.ndarray, found: np.ndarray) -> float:
    """Return the correlation of a measured course (T,) with the true one (T,).

    Frames in which nothing could be measured stand at the mean of the others, so they lower it; a course that never
    changes follows nothing: 0.

    Args:
        found: (T,) bool, frames in which the course was measured.
    """
    if not found.any():
        return 0.0
    value = correlation(np.where(found, course, course[found].mean()), truth)
    return value if np.isfinite(value) else 0.0


def drift(quality: np.ndarray, chunks: list[slice]) -> float:
    """Return by how much the quality per frame (T,) falls from a video's first chunk to its last, means of each."""
    return float(quality[chunks[0]].mean() - quality[chunks[-1]].mean())
