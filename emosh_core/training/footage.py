"""Training samples of a tracked clip: the same file that synthetic people give, from a real film and its fit."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from emosh_core.artifacts import Cond, Motion
from emosh_core.body.ehm import EhmModel
from emosh_core.errors import ArtifactError
from emosh_core.generate.chunks import zigzag
from emosh_core.generate.generator import Camera, Reference
from emosh_core.generate.pixels import Letterbox
from emosh_core.generate.preview import PreviewGenerator
from emosh_core.geometry.camera import fit_intrinsics
from emosh_core.training.people import detail_boxes, one_frame
from emosh_core.training.samples import Sample, save_sample

GAP_SECONDS = 1.0
"""A reference comes from at least this long before or after a window, where the clip is long enough."""


def window_starts(frame_count: int, window: int, stride: int) -> np.ndarray:
    """Return where training windows begin; the last one ends with the clip where it is long enough."""
    last = max(0, frame_count - window)
    return np.unique(np.append(np.arange(0, last, stride), last))


def reference_candidates(valid: np.ndarray, start: int, window: int, gap: int) -> np.ndarray:
    """Return the frames that may be a window's reference, from another moment where the clip has one.

    At least `gap` frames away, else outside the window, else any; tracked frames only, if there are.
    """
    frames = np.flatnonzero(valid) if valid.any() else np.arange(len(valid))
    for margin in (gap, 0):
        away = frames[(frames < start - margin) | (frames >= start + window + margin)]
        if len(away):
            return away
    return frames


def choose_references(
    valid: np.ndarray, starts: np.ndarray, window: int, gap: int, count: int, seed: int
) -> dict[int, list[int]]:
    """Share out windows among few references, each from another moment than its windows.

    Returns:
        The frame of a reference to the starts of its windows.
    """
    rng, groups = np.random.default_rng(seed), {}
    for start in starts:
        free = reference_candidates(valid, int(start), window, gap)
        known = [frame for frame in groups if frame in free]
        if len(groups) >= count and known:
            frame = known[int(rng.integers(len(known)))]
        else:
            frame = int(rng.choice(free))
        groups.setdefault(frame, []).append(int(start))
    return groups


def write_samples(
    folder: Path, name: str, motion: Motion, cond: Cond, frames: Iterable[np.ndarray], body: EhmModel, *,
    side: int, window: int, stride: int, references: int, seed: int,
    person_mask: Callable[[np.ndarray], np.ndarray], progress: Callable[[int, int], None] | None = None,
) -> list[Path]:  # fmt: skip
    """Write the samples of one clip, a file for each reference.

    Args:
        name: the files' names begin with it.
        motion: the clip's own fit.
        cond: its condition pictures.
        frames: the clip (H, W, 3) uint8 RGB.
        side: R, pictures are fitted into squares of so many pixels.
        window, stride: frames per window, and between the starts of two.
        references: how many there are at least, if there are as many windows.
        person_mask: finds the person's pixels in a picture.
        progress: called with (references done, references).
    """
    count = len(motion.time)
    letterbox = Letterbox(motion.size[1], motion.size[0], side)
    pictures = np.stack([Letterbox(*frame.shape[:2], side).fit(frame) for frame in frames])
    if len(pictures) != count:
        raise ArtifactError(
            "the clip and its condition pictures differ in length",
            found=f"{len(pictures)} frames and {count} condition pictures", fix="emosh track it again",
        )  # fmt: skip
    conds = np.stack([Letterbox(*picture.shape[:2], side).fit(picture) for picture in cond.frames])
    boxes = _into_square(detail_boxes(cond), Letterbox(*cond.frames.shape[1:3], side))
    gap = round(GAP_SECONDS * motion.fps)
    groups = choose_references(np.asarray(motion.person_valid), window_starts(count, window, stride), window, gap,
                               references, seed)  # fmt: skip
    paths = []
    for done, (frame, starts) in enumerate(sorted(groups.items())):
        path = folder / f"{name}-{frame:05}.safetensors"
        if not path.is_file():
            top, left, height, width = letterbox.box
            inner = np.ascontiguousarray(pictures[frame][top : top + height, left : left + width])
            fit = _shrunk(one_frame(motion, frame), (width, height))
            reference = Reference(image=inner, motion=fit, mask=person_mask(inner),
                                  camera=Camera(K=fit.K[0], w2c=fit.w2c[0]))  # fmt: skip
            preview = PreviewGenerator(motion, reference, body, (width, height))
            rows = [zigzag(np.arange(start, start + window), count) for start in starts]
            shown = np.zeros((len(rows), window, side, side, 3), np.uint8)
            for square, indices in zip(shown, rows, strict=True):
                made = preview.generate(indices, seed=0, state={}).frames
                square[:, top : top + height, left : left + width] = np.rint(255 * made)
            index = np.stack(rows)
            save_sample(path, Sample(frames=pictures[index], cond=conds[index], preview=shown,
                                     reference=pictures[frame], boxes=boxes[index]))  # fmt: skip
        paths.append(path)
        if progress:
            progress(done + 1, len(groups))
    return paths


def _shrunk(fit: Motion, size: tuple[int, int]) -> Motion:
    """Return a fit as if its picture had another size [px]."""
    return replace(fit, K=fit_intrinsics(fit.K, fit.size, size), size=size)


def _into_square(boxes: np.ndarray, letterbox: Letterbox) -> np.ndarray:
    """Move boxes (T, D, 4) [px] to where a letterbox puts their picture; those of nothing stay 0."""
    top, left, height, width = letterbox.box
    scale = np.array([width / letterbox.width, height / letterbox.height] * 2)
    moved = np.rint(boxes * scale + np.array([left, top] * 2)).astype(np.int16)
    return np.where(boxes.any(-1, keepdims=True), moved, 0)
