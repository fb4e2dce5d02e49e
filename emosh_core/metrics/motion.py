"""How well a motion explains its video, and how steady it is; no ground truth is needed."""

import numpy as np


def jitter(joints: np.ndarray, fps: float, valid: np.ndarray) -> float:
    """Return the mean length of the joints' third derivative [m/s³]; NaN where there are too few frames.

    The derivative is the third difference times fps³, over all joints and over every four
    consecutive frames in which the person was tracked.

    Args:
        joints: (T, J, 3) world positions [m].
        valid: (T,) bool.
    """
    if len(joints) < 4:
        return float("nan")
    whole = valid[3:] & valid[2:-1] & valid[1:-2] & valid[:-3]
    jerk = np.linalg.norm(np.diff(joints.astype(np.float64), 3, axis=0), axis=-1) * fps**3
    return float(jerk[whole].mean()) if whole.any() else float("nan")


def reprojection(error: np.ndarray, size: tuple[int, int]) -> dict[str, float]:
    """Summarise a motion's reprojection error.

    Args:
        error: (T,) mean distance per frame [px], NaN where nothing was trusted.
        size: width and height of the frames [px].

    Returns:
        mean, median and 95th percentile [px], and the mean as a share of the frame's diagonal.
    """
    known = error[np.isfinite(error)].astype(np.float64)
    if not len(known):
        return dict.fromkeys(("mean", "median", "p95", "mean_of_diagonal"), float("nan"))
    return {
        "mean": float(known.mean()),
        "median": float(np.median(known)),
        "p95": float(np.percentile(known, 95)),
        "mean_of_diagonal": float(known.mean() / np.hypot(*size)),
    }
