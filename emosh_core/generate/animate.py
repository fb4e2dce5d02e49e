"""The chunk loop: plan, generate, keep, hand over, resume."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from emosh_core.durable import durable_file, sweep
from emosh_core.errors import ArtifactError
from emosh_core.generate.chunks import ChunkFrames, chunk_seed, plan_chunks
from emosh_core.generate.generator import Chunk, Generator
from emosh_core.settings import AnimateConfig


@dataclass(frozen=True, kw_only=True)
class Animation:
    """What the chunk loop leaves behind besides the frames; the fields are those of `Clip`."""

    windows: np.ndarray
    """(K, 2) int64 start and stop of each chunk; the last stop may lie past the end (padding)."""
    seeds: np.ndarray
    """(K,) int64"""


def animate(
    generator: Generator,
    frame_count: int,
    config: AnimateConfig,
    *,
    write: Callable[[np.ndarray], None],
    write_latents: Callable[[np.ndarray], None] | None = None,
    scratch: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Animation:
    """Make the frames of a clip, chunk by chunk, holding one chunk at a time; all, or those of the first few chunks.

    Args:
        generator: makes the chunks.
        frame_count: frames of the target.
        write: takes each frame once, in order: (H, W, 3) uint8 RGB.
        write_latents: takes each chunk's latents once, in order: `Chunk.latents`.
        scratch: folder where finished chunks are kept, so that the same call after a kill continues
            and writes bit-identical frames. It belongs to these inputs alone: name it by the stage's
            fingerprint, and delete it when the video is safe. None keeps nothing.
        progress: called with (frames written, frames to write).
    """
    plan = plan_chunks(frame_count, window=generator.window, overlap=generator.overlap)[: config.chunks or None]
    wanted = plan[-1].start + plan[-1].keep.stop
    seeds = [chunk_seed(config.seed, k) for k in range(len(plan))]
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
        sweep(scratch)
    state: dict[str, np.ndarray] = {}
    for k, chunk in enumerate(plan):
        path = None if scratch is None else scratch / f"chunk_{k:05d}.npz"
        key = _key(generator, frame_count, config, chunk)
        kept = None if path is None else _load(path, key)
        if kept is None:
            kept = _make(generator, chunk, seeds[k], state)
            if path is not None:
                _save(path, key, kept)
        state = kept.state
        for frame in kept.frames:
            write(frame)
        if write_latents is not None:
            write_latents(kept.latents)
        if progress is not None:
            progress(chunk.start + chunk.keep.stop, wanted)
    return Animation(
        windows=np.array([(chunk.start, chunk.stop) for chunk in plan], np.int64),
        seeds=np.array(seeds, np.int64),
    )


def _make(generator: Generator, chunk: ChunkFrames, seed: int, state: dict[str, np.ndarray]) -> Chunk:
    """Generate a chunk; its frames come back as uint8, without overlap and padding."""
    made = generator.generate(chunk.indices, seed=seed, state=state)
    # Only these 8-bit frames are for the video: what the next chunk continues from is in made.state.
    frames = np.rint(np.clip(made.frames[chunk.keep], 0, 1) * 255).astype(np.uint8)
    return Chunk(frames=frames, state=made.state, latents=made.latents)


def _key(generator: Generator, frame_count: int, config: AnimateConfig, chunk: ChunkFrames) -> str:
    """Name the settings a kept chunk was made with."""
    plan = {"name": generator.name, "frames": frame_count, "window": [chunk.start, chunk.stop]}
    return json.dumps(plan | asdict(config), sort_keys=True)


def _save(path: Path, key: str, chunk: Chunk) -> None:
    state = {f"state.{name}": value for name, value in chunk.state.items()}
    with durable_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, key=np.array(key), frames=chunk.frames, latents=chunk.latents, **state)


def _load(path: Path, key: str) -> Chunk | None:
    """Read a kept chunk; None where there is none or it was made with other settings."""
    if not path.is_file():
        return None
    try:
        with np.load(path) as stored:
            if str(stored["key"]) != key:
                return None
            state = {name.removeprefix("state."): stored[name] for name in stored.files if name.startswith("state.")}
            return Chunk(frames=stored["frames"], latents=stored["latents"], state=state)
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise ArtifactError("a kept chunk cannot be read", found=f"{path}: {error}", fix=f"delete {path}") from error
