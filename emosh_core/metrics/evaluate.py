"""Evaluation reports: two videos compared frame by frame, or one motion on its own."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emosh_core.artifacts import Motion
from emosh_core.errors import ArtifactError
from emosh_core.metrics.image import l1, psnr, ssim
from emosh_core.metrics.motion import jitter, reprojection
from emosh_core.settings import EvalConfig
from emosh_core.video_io import open_source

ASPECT_TOLERANCE = 0.02
PSNR_CAP = 100.0
"""Equal frames, whose PSNR is infinite, count as this [dB]."""
METRICS = {"psnr": lambda a, b: min(psnr(a, b), PSNR_CAP), "l1": l1, "ssim": ssim}
UNITS = {"psnr": "dB", "l1": "of 1", "ssim": "of 1", "reprojection_error": "px", "jitter": "m/s³"}


def compare_videos(
    video: Path, truth: Path, config: EvalConfig, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Compare a video with another one, frame i with frame i.

    Both are resized so that the longer side of the second one has `config.size` pixels. Where one
    is longer, the rest of it is not compared; `frames` says how many frames were.

    Returns:
        `clip`: metric to its mean over frames, `per_frame`: metric to a value per frame, and the protocol.
    """
    a, b = open_source(video), open_source(truth)
    if abs(np.log((a.width / a.height) / (b.width / b.height))) > ASPECT_TOLERANCE:
        raise ArtifactError(
            "the videos have different shapes", found=f"{a.width}×{a.height} and {b.width}×{b.height}",
            fix="compare videos of the same aspect ratio",
        )  # fmt: skip
    scale = config.size / max(b.width, b.height)
    size = (max(11, round(b.width * scale)), max(11, round(b.height * scale)))
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    counts = [0, 0]
    frames_a, frames_b = a.frames(), b.frames()
    while True:
        pair = [next(frames, None) for frames in (frames_a, frames_b)]
        counts = [count + (item is not None) for count, item in zip(counts, pair)]
        if pair[0] is None or pair[1] is None:
            break
        image, other = (cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for _, frame in pair)
        for name, metric in METRICS.items():
            values[name].append(metric(image, other))
        if progress:
            progress(min(counts), max(b.count, *counts))
    counts = [count + sum(1 for _ in frames) for count, frames in zip(counts, (frames_a, frames_b))]
    clip = {name: float(np.mean(column)) for name, column in values.items()}
    return {
        "kind": "videos", "video": str(video), "truth": str(truth), "frames": min(counts),
        "frames_of_each": counts, "size": list(size), "clip": clip, "per_frame": values, "config": asdict(config),
    }  # fmt: skip


def judge_motion(motion: Motion) -> dict[str, Any]:
    """Report the reprojection error and the jitter of a motion."""
    return {
        "kind": "motion",
        "frames": len(motion.time),
        "tracked": {
            part: float(np.mean(getattr(motion, f"{part}_valid")))
            for part in ("person", "face", "left_hand", "right_hand")
        },
        "reprojection_error": reprojection(motion.reprojection_error, motion.size),
        "jitter": jitter(motion.joints, motion.fps, motion.person_valid),
        "per_frame": {"reprojection_error": motion.reprojection_error.astype(float).tolist()},
    }
