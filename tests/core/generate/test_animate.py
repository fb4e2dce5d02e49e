"""The chunk loop: all frames once, nothing lost when it is killed."""

import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest

from emosh_core.errors import ArtifactError
from emosh_core.generate.animate import animate
from emosh_core.generate.generator import Chunk
from emosh_core.settings import AnimateConfig


class Counting:
    """Draws the frame number plus noise, and a running sum that travels in the state."""

    name, window, overlap = "counting", 9, 5

    def __init__(self):
        self.calls = 0

    def generate(self, indices, *, seed, state):
        self.calls += 1
        total = state.get("total", np.zeros(1, np.float32)) + np.float32(seed % 1000) / 3
        frames = np.zeros((len(indices), 2, 3, 3), np.float32) + indices[:, None, None, None] / np.float32(255)
        frames[:, 0, 0] = np.random.default_rng(seed).random(3)
        frames[:, 1, 1] = total % 1
        return Chunk(frames=frames, state={"total": total}, latents=np.full((3, 1, 1, 1), total[0], np.float32))


def collect(frame_count, config=None, generator=None, **options):
    frames, latents = [], []
    result = animate(generator or Counting(), frame_count, config or AnimateConfig(), write=frames.append,
                     write_latents=latents.append, **options)  # fmt: skip
    return np.array(frames), result, np.concatenate(latents)


@pytest.mark.parametrize("count", [1, 4, 5, 8, 9, 10, 30])
def test_every_frame_is_written_once_in_order(count):
    frames, result, latents = collect(count)
    assert frames.dtype == np.uint8
    assert frames[:, 0, 2, 0].tolist() == list(range(count))
    assert len(result.windows) == len(result.seeds) == len(latents) // 3


def test_seeds_change_the_noise_and_equal_seeds_do_not():
    assert np.array_equal(collect(20)[0], collect(20)[0])
    assert not np.array_equal(collect(20)[0], collect(20, AnimateConfig(seed=1))[0])


def test_the_state_travels_from_chunk_to_chunk():
    _, result, latents = collect(30)
    sums = np.cumsum(np.float32(result.seeds % 1000) / 3)
    np.testing.assert_allclose(latents[::3, 0, 0, 0], sums, rtol=1e-6)


def test_only_the_first_chunks_are_made_when_asked():
    frames, result, _ = collect(30, AnimateConfig(chunks=2))
    assert len(frames) == 13
    assert np.array_equal(frames, collect(30)[0][:13])
    assert len(result.windows) == 2


def test_a_killed_run_continues_to_the_same_frames(tmp_path):
    scratch = tmp_path / "scratch"
    script = textwrap.dedent(f"""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(__file__.rsplit("/", 1)[0])!r})
        from test_animate import Counting
        from emosh_core.generate.animate import animate
        from emosh_core.settings import AnimateConfig
        written = []
        def write(frame):
            written.append(frame)
            if len(written) == 20:
                os.kill(os.getpid(), signal.SIGKILL)
        animate(Counting(), 30, AnimateConfig(), write=write, scratch=Path({str(scratch)!r}))
    """)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    kept = len(list(scratch.glob("chunk_*.npz")))
    assert 1 < kept < 7
    generator = Counting()
    frames, _, latents = collect(30, generator=generator, scratch=scratch)
    straight, _, expected = collect(30)
    assert generator.calls == 7 - kept
    assert np.array_equal(frames, straight)
    assert np.array_equal(latents, expected)


def test_chunks_of_other_settings_are_not_reused(tmp_path):
    collect(20, scratch=tmp_path)
    config = replace(AnimateConfig(), seed=7)
    assert np.array_equal(collect(20, config, scratch=tmp_path)[0], collect(20, config)[0])


def test_a_damaged_kept_chunk_is_named(tmp_path):
    collect(20, scratch=tmp_path)
    path = tmp_path / "chunk_00001.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="a kept chunk cannot be read"):
        collect(20, scratch=tmp_path)
