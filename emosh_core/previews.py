"""Pictures of artifacts for people to look at; all derivable, none is read by a stage."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from emosh_core.artifacts import Clip, Cond, Motion, Truth
from emosh_core.video_io import Source, VideoWriter, open_source

if TYPE_CHECKING:
    from emosh_core.body.ehm import EhmModel

STRIP_FRAMES = 6
STRIP_HEIGHT = 240
INK = (40, 40, 40)
SIDES = {"centre": (60, 60, 60), "left": (40, 110, 220), "right": (220, 90, 40)}
"""Colours (RGB) of bones by the side of the body they belong to."""


def overlay(source: Source, motion: Motion, body: "EhmModel") -> Iterator[np.ndarray]:
    """Yield the fitted mesh over the frames that it was fitted to."""
    from emosh_core.render.overlay import overlay_frames

    return overlay_frames((frame for _, frame in source.frames()), motion, body)


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float, times: np.ndarray) -> None:
    """Encode frames (H, W, 3) uint8 at their times [s]; an mp4 even if there is a single frame."""
    frames = iter(frames)
    first = next(frames)
    with VideoWriter(path, fps, (first.shape[1], first.shape[0]), times=times) as writer:
        writer.write(first)
        for frame in frames:
            writer.write(frame)


def picture(value: Motion | Cond | Clip | Truth, root: Path) -> np.ndarray:
    """Return one picture (H, W, 3) uint8 that shows an artifact: a strip of a few of its frames.

    Args:
        root: the workspace, where a clip's video lies.
    """
    if isinstance(value, Motion):
        frames = [stick_figure(value, t) for t in _spread(len(value.time))]
    elif isinstance(value, Cond):
        frames = [np.asarray(value.frames[t]) for t in _spread(value.frames.shape[0])]
    elif isinstance(value, Truth):
        frames = [np.repeat(value.mask[t, ..., None].astype(np.uint8) * 255, 3, 2) for t in _spread(len(value.time))]
    else:
        wanted = set(_spread(len(value.time)))
        video = open_source(root / value.video).frames()
        frames = [frame for t, (_, frame) in enumerate(video) if t in wanted]
    return np.concatenate([_to_height(frame) for frame in frames], axis=1)


def stick_figure(motion: Motion, t: int) -> np.ndarray:
    """Draw a frame's joints as the camera saw them, over the detected keypoints."""
    from emosh_core.body.joints import JOINT_NAMES, PARENTS
    from emosh_core.geometry.camera import project, to_camera

    width, height = motion.size
    image = np.full((height, width, 3), 250, np.uint8)
    unit = max(1, round(height / 200))
    for (x, y), confidence in zip(motion.keypoints2d[t], motion.confidence[t]):
        if confidence > 0.3:
            cv2.circle(image, (round(float(x)), round(float(y))), unit, (200, 200, 200), -1, cv2.LINE_AA)
    points = project(to_camera(motion.joints[t], motion.w2c[t]), motion.K[t])
    for joint, parent in enumerate(PARENTS):
        if parent >= 0 and np.isfinite(points[[joint, parent]]).all():
            side = JOINT_NAMES[joint].split("_")[0]
            ends = [tuple(int(v) for v in np.clip(points[i], -1e4, 1e4)) for i in (parent, joint)]
            cv2.line(image, *ends, SIDES.get(side, SIDES["centre"]), unit, cv2.LINE_AA)
    cv2.putText(
        image, f"{motion.time[t]:.2f} s", (4, height - 6), cv2.FONT_HERSHEY_SIMPLEX, unit / 4, INK, 1, cv2.LINE_AA
    )
    return image


def _spread(count: int) -> list[int]:
    """Return a few frame numbers from the first to the last."""
    return sorted({round(float(t)) for t in np.linspace(0, max(0, count - 1), STRIP_FRAMES)}) if count else []


def _to_height(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    size = (max(1, round(width * STRIP_HEIGHT / height)), STRIP_HEIGHT)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
