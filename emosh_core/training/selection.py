"""Which clips are worth training on: drops those without a face, with too small a face, hidden hands, or no motion.

These are the four reasons for which the paper (EMOSH, arXiv 2606.28026) leaves clips out; it does not
publish its thresholds, so those in `FilterConfig` are ours. Works on any motion, tracked or synthetic.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from emosh_core.artifacts import Motion, keypoint_slice
from emosh_core.settings import FilterConfig

REASONS = ("face not detected", "face too small", "hands hidden", "static")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Why a clip is left out, and what was measured."""

    reasons: tuple[str, ...]
    """Some of REASONS, in their order; none for a clip that is kept."""
    face: float
    """Share of frames in which the face is seen."""
    face_size: float
    """Median height of the face where it is seen, over the shorter side of the picture; 0 if it never is."""
    hands: float
    """Share of frames in which at least one hand is seen."""
    speed: float
    """Mean speed of the joints [m/s]."""
    expression_speed: float
    """Mean change of the expression, summed over its units [1/s]."""


def judge(motion: Motion, limits: FilterConfig | None = None) -> Verdict:
    """Measure a clip and hold it against the limits."""
    limits = limits or FilterConfig()
    seen = motion.face_valid & motion.person_valid
    rows = np.asarray(motion.keypoints2d[:, keypoint_slice("face"), 1])[seen]
    figures = {
        "face": _share(seen),
        "face_size": float(np.median(np.ptp(rows, axis=1))) / min(motion.size) if len(rows) else 0.0,
        "hands": _share(motion.left_hand_valid | motion.right_hand_valid),
        "speed": float(np.linalg.norm(_rate(motion.joints, motion), axis=-1).mean()),
        "expression_speed": float(np.abs(_rate(motion.expression, motion)).sum(-1).mean()),
    }
    still = figures["speed"] < limits.speed and figures["expression_speed"] < limits.expression_speed
    wrong = (
        figures["face"] < limits.face,
        figures["face"] >= limits.face and figures["face_size"] < limits.face_size,
        figures["hands"] < limits.hands,
        still,
    )
    return Verdict(reasons=tuple(reason for reason, found in zip(REASONS, wrong, strict=True) if found), **figures)


def count(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Return how many clips there are, how many are kept, and how many each reason leaves out (some have several)."""
    verdicts = list(verdicts)
    reasons = {reason: sum(reason in verdict.reasons for verdict in verdicts) for reason in REASONS}
    return {"clips": len(verdicts), "kept": sum(not verdict.reasons for verdict in verdicts)} | reasons


def _share(flags: np.ndarray) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _rate(values: np.ndarray, motion: Motion) -> np.ndarray:
    """Return the change per second between neighbouring frames; one frame does not change."""
    if len(values) < 2:
        return np.zeros_like(values)
    seconds = np.diff(motion.time).clip(min=1e-3)
    return np.diff(values, axis=0) / seconds.reshape(-1, *[1] * (values.ndim - 1))
