"""Which frames each chunk makes, keeps and pads: pure integers.

Window k covers [k·stride, k·stride + window) with stride = window − overlap. The first chunk keeps
all of its frames, later ones drop the overlap. Past the end of the clip the frames turn back.
"""

from dataclasses import dataclass

import numpy as np

from emosh_core.errors import ArtifactError, ConfigError


@dataclass(frozen=True, kw_only=True)
class ChunkFrames:
    """One chunk of the plan."""

    start: int
    """First frame of the window."""
    stop: int
    """One past the last frame of the window; may lie past the end of the clip."""
    keep: slice
    """Positions in the window whose frames the chunk delivers: neither overlap nor padding."""
    indices: np.ndarray
    """(window,) int64 valid frames of the clip, padded by zig-zag."""


def zigzag(index: np.ndarray, count: int) -> np.ndarray:
    """Reflect indices into [0, count): ..., count−2, count−1, count−2, ..., 0, 1, ..."""
    if count == 1:
        return np.zeros_like(index)
    folded = index % (2 * (count - 1))
    return np.minimum(folded, 2 * (count - 1) - folded)


def plan_chunks(frame_count: int, *, window: int = 77, overlap: int = 5) -> list[ChunkFrames]:
    """Plan the chunks of a clip so that each of its frames is delivered exactly once, in order.

    Args:
        frame_count: frames of the clip, at least 1.
        window: frames per chunk.
        overlap: frames that a chunk shares with the one before it; 0 for independent chunks.
    """
    if frame_count < 1:
        raise ArtifactError("there are no frames to animate", found="0 frames", fix="run `emosh inspect` on the target")
    if not 0 <= overlap < window:
        raise ConfigError("a chunk must be longer than its overlap", found=f"window {window}, overlap {overlap}")
    stride = window - overlap
    chunks = max(1, -(-(frame_count - overlap) // stride))
    plan = []
    for k in range(chunks):
        start = k * stride
        plan.append(
            ChunkFrames(
                start=start,
                stop=start + window,
                keep=slice(overlap if k else 0, min(window, frame_count - start)),
                indices=zigzag(np.arange(start, start + window), frame_count),
            )
        )
    return plan


def chunk_seed(seed: int, chunk: int) -> int:
    """Derive a chunk's own seed, so that chunks resumed or rerun alone draw the same noise."""
    return int(np.random.SeedSequence([seed, chunk]).generate_state(1, np.uint64)[0] >> np.uint64(1))
