"""Detection of a whole clip: windows of frames, several at once, each cut out around the followed person.

Frames are decoded once, in order, while finished windows wait on disk; a detector that fails loses one window, not
the clip.
"""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from emosh_core.artifacts import KEYPOINTS
from emosh_core.errors import ArtifactError
from emosh_core.quiet import quiet_native_stderr
from emosh_core.tracker.detectors import N_KEYPOINTS, Detections, Detector
from emosh_core.tracker.pieces import keep, kept
from emosh_core.tracker.survey import Survey, crop, crop_box
from emosh_core.video_io import Source

log = logging.getLogger(__name__)

WINDOW = 60
"""Frames of one piece."""
WARM_UP = 4
"""Frames before a window that the detector sees as well: it follows what it found before."""
LONGEST = 1280
"""[px] side to which larger pictures are shrunk; the networks look at 256."""
OUTSIDE = 0.3
"""What is left of the confidence of points beyond the frame."""
STALLED = 300.0
"""[s] after which a window counts as lost."""


@dataclass(frozen=True)
class _Window:
    number: int
    frames: list[np.ndarray]
    warm_up: int
    zoom: float
    """From the frame's pixels to those of `frames`."""
    corners: np.ndarray
    """(T, 2) of the cut-outs in the frame [px]."""


def detect(
    source: Source,
    detector: Detector,
    survey: Survey,
    scratch: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Detections, np.ndarray, list[str]]:
    """Detect in every frame.

    Returns:
        Detections in the frame's pixels, the frames' times (T,) [s], and what went wrong, for people to read.

    Raises:
        ArtifactError: nothing can be decoded.
    """
    times: list[float] = []
    pieces: list[Detections | Future] = []
    sizes: list[int] = []
    workers = max(min(os.cpu_count() or 1, 4), 1)
    with quiet_native_stderr(), ThreadPoolExecutor(workers) as pool:
        for window in _windows(source, survey, scratch, times):
            number = len(pieces)
            sizes.append(len(times) - sum(sizes))
            if isinstance(window, Detections):
                pieces.append(window)
            else:
                pieces.append(pool.submit(_detect_window, detector, window, source, scratch))
                if number >= workers:  # no more frames in memory than are being worked on
                    _wait(pieces, number - workers)
            if progress:
                progress(max(len(times) - workers * WINDOW, 0), max(source.count, len(times)))
        problems = _collect(pieces, sizes)
    if not times:
        raise ArtifactError(f"the video has zero frames that can be decoded: {source.path}")
    return _sound(Detections.concatenate(pieces)), np.array(times), problems


def _windows(
    source: Source, survey: Survey, scratch: Path | None, times: list[float]
) -> Iterator[_Window | Detections]:
    """Yield finished pieces, and windows that are still to be looked at; a cut ends a window."""
    before: list[np.ndarray] = []
    frames: list[np.ndarray] = []
    number = 0

    def finish() -> _Window | Detections:
        done = kept(scratch, f"detect-{number:05d}", Detections)
        return done or _cut_out(number, before[-WARM_UP:], frames, survey, len(times) - len(frames))

    shot = None
    for t, (time, frame) in enumerate(source.frames()):
        new_shot = shot is not None and survey.shot[min(t, len(survey.shot) - 1)] != shot
        if frames and (new_shot or len(frames) == WINDOW):
            yield finish()
            before, frames, number = ([] if new_shot else frames), [], number + 1
        shot = survey.shot[min(t, len(survey.shot) - 1)]
        times.append(time)
        frames.append(frame)
    if frames:
        yield finish()


def _cut_out(number: int, before: list[np.ndarray], frames: list[np.ndarray], survey: Survey, start: int) -> _Window:
    everything = [*before, *frames]
    height, width = frames[0].shape[:2]
    boxes = crop_box(survey.circle[start - len(before) : start + len(frames)], (width, height))
    if boxes is not None and len(boxes) == len(everything):
        everything = [crop(frame, box) for frame, box in zip(everything, boxes, strict=True)]
        corners = boxes[:, :2]
    else:
        corners = np.zeros((len(everything), 2), int)
    zoom = min(1.0, LONGEST / max(everything[0].shape[:2]))
    if zoom < 1:
        everything = [cv2.resize(f, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA) for f in everything]
    return _Window(number, everything, len(before), zoom, corners[len(before) :].astype(np.float32))


def _detect_window(detector: Detector, window: _Window, source: Source, scratch: Path | None) -> Detections:
    try:
        found = detector.detect(iter(window.frames))
    except Exception as error:
        log.debug("the detector failed, once more", exc_info=error)
        found = detector.detect(iter(window.frames))
    found = Detections(**{name: value[window.warm_up :] for name, value in vars(found).items()})
    points = found.keypoints2d / window.zoom + window.corners[:, None]
    known = found.confidence > 0
    inside = ((points >= 0) & (points < (source.width, source.height))).all(-1)
    body = np.arange(N_KEYPOINTS) < KEYPOINTS["body"]
    cropped = bool(window.corners.any())
    doubt = np.where(known & ~inside & body & cropped, OUTSIDE, 1.0)  # of whole pictures the detector knows itself
    piece = replace(
        found,
        keypoints2d=np.where(known[..., None], points, 0).astype(np.float32),
        depth=(found.depth / window.zoom).astype(np.float32),
        confidence=(found.confidence * doubt).astype(np.float32),
    )
    keep(scratch, f"detect-{window.number:05d}", asdict(piece))
    return piece


def _wait(pieces: list, number: int) -> None:
    if isinstance(pieces[number], Future):
        pieces[number].exception(timeout=STALLED)


def _collect(pieces: list, sizes: list[int]) -> list[str]:
    """Replace futures by what they found; a window whose detector failed has nobody in it."""
    problems, start = [], 0
    for number, piece in enumerate(pieces):
        if isinstance(piece, Future):
            try:
                piece = piece.result(timeout=STALLED)
            except Exception as error:  # a detector may fail in any way; the clip shall not
                log.debug("detector failed", exc_info=error)
                problems.append(f"the detector failed in frames {start}–{start + sizes[number] - 1}: {error}")
                piece = nobody(sizes[number])
            pieces[number] = piece
        start += sizes[number]
    return problems


def nobody(frames: int) -> Detections:
    """Return detections of frames in which nothing was found."""
    zeros = lambda *dims: np.zeros((frames, *dims), np.float32)  # noqa: E731
    return Detections(
        zeros(N_KEYPOINTS, 2), zeros(N_KEYPOINTS), zeros(N_KEYPOINTS), zeros(KEYPOINTS["body"], 3), zeros()
    )


def _sound(seen: Detections) -> Detections:
    """Take numbers that are none for points that were not found."""
    good = np.isfinite(seen.keypoints2d).all(-1) & np.isfinite(seen.depth) & np.isfinite(seen.confidence)
    return Detections(
        keypoints2d=np.where(good[..., None], seen.keypoints2d, 0),
        depth=np.where(good, seen.depth, 0),
        confidence=np.where(good, seen.confidence, 0),
        body3d=np.nan_to_num(seen.body3d, nan=0.0, posinf=0.0, neginf=0.0),
        silhouette=np.nan_to_num(seen.silhouette, nan=0.0, posinf=0.0, neginf=0.0),
    )
