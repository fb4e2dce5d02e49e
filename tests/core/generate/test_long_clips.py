"""Clips of every length: each frame once, handed over without loss, resumed after any chunk, in flat memory."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from emosh_core.generate.animate import animate
from emosh_core.generate.diffusion import DiffusionGenerator
from emosh_core.generate.generator import Chunk, Reference
from emosh_core.generate.models import Networks
from emosh_core.generate.pixels import Letterbox, to_tensor
from emosh_core.generate.plan import fit_window
from emosh_core.settings import AnimateConfig

LENGTHS = [1, 4, 5, 76, 77, 78, 149, 200, 436]
GROWTH_MB = 60
"""Of the process between 200 and 2,000 frames; what is held of frames or condition pictures takes 88 MB each."""


class Numbering:
    """Writes each frame's number into its pixels, and wrong ones where it is not to be seen: in what is dropped."""

    name = "numbering"

    def __init__(self, window, overlap):
        self.window, self.overlap = window, overlap

    def generate(self, indices, *, seed, state):
        number = np.array(indices)
        number[: len(state.get("tail", ()))] = 65535
        pixels = np.stack([number // 256, number % 256], -1).astype(np.float32) / 255
        frames = np.zeros((len(indices), 1, 2, 3), np.float32) + pixels[:, None, :, None]
        return Chunk(frames=frames, state={"tail": frames[len(frames) - self.overlap :]})


@pytest.mark.parametrize("sizes", [(77, 5), (17, 5), (77, 1), (16, 0)])
@pytest.mark.parametrize("count", LENGTHS)
def test_frame_i_of_the_output_is_frame_i_of_the_driver(count, sizes):
    window, overlap = sizes
    for frames in {window, fit_window(count, window, overlap, lambda size: True) if overlap else window}:
        written = []
        animate(Numbering(frames, overlap), count, AnimateConfig(), write=written.append)
        pixels = np.array(written)[:, 0, :, 0].astype(int)
        assert (256 * pixels[:, 0] + pixels[:, 1]).tolist() == list(range(count))


@pytest.fixture
def make_generator(networks, make_cond):
    image = np.random.default_rng(1).integers(0, 256, (30, 18, 3)).astype(np.uint8)

    def make(frames):
        return DiffusionGenerator(
            networks, make_cond(frames), Reference(image=image, motion=None), AnimateConfig(steps=1), name="tiny"
        )

    return make


def test_a_chunk_is_shown_its_own_frames_and_the_tail_as_it_was_decoded(
    make_generator, make_cond, tmp_path, monkeypatch
):
    encoded, decoded = [], []
    encode, decode = Networks.encode, Networks.decode

    def note_decoded(self, latents):
        decoded.append(decode(self, latents))
        return decoded[-1]

    monkeypatch.setattr(Networks, "encode", lambda self, video: encoded.append(video) or encode(self, video))
    monkeypatch.setattr(Networks, "decode", note_decoded)

    for kept in range(3):  # each run makes one chunk more, from what the one before left on the disk

        def stop(done, total, kept=kept):
            if len(list(tmp_path.glob("chunk_*"))) > kept:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            animate(make_generator(17), 17, AnimateConfig(), write=lambda frame: None, scratch=tmp_path, progress=stop)
    tails = [video for video in encoded if video.shape[2] == 5]
    assert len(decoded) == 3 and len(tails) == 2
    for before, tail in zip(decoded, tails):
        assert tail.dtype == torch.float32 and torch.equal(tail[0], before[0, :, -5:])
        levels = (tail + 1) * 127.5
        assert (levels - levels.round()).abs().max() > 0.1  # neither 8-bit nor out of a codec
    cond, letterbox = make_cond(17), Letterbox(20, 14, 32)
    windows = [video for video in encoded if video.shape[2] == 9 and video.any()]  # but the grey ones
    for k, shown in enumerate(windows):
        expected = np.stack([letterbox.fit(cond.frames[i]) for i in range(4 * k, 4 * k + 9)])
        assert torch.equal(shown[0], to_tensor(expected))


@pytest.mark.parametrize("chunk", range(4))
def test_a_clip_continues_bit_by_bit_after_a_failure_in_any_chunk(make_generator, tmp_path, chunk):
    straight, resumed, calls = [], [], []
    animate(make_generator(20), 20, AnimateConfig(), write=straight.append)
    generator = make_generator(20)
    generate = generator.generate

    def fail(indices, **given):
        if len(calls) == chunk:
            raise OSError("the power is gone")
        calls.append(indices)
        return generate(indices, **given)

    generator.generate = fail
    with pytest.raises(OSError, match="power"):
        animate(generator, 20, AnimateConfig(), write=lambda frame: None, scratch=tmp_path)
    again = make_generator(20)
    animate(again, 20, AnimateConfig(), write=resumed.append, scratch=tmp_path)
    assert len(calls) == chunk and np.array_equal(straight, resumed)


def test_memory_does_not_grow_with_the_clip(tmp_path):
    script = textwrap.dedent(f"""
        import resource, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        import numpy as np, torch, zarr
        torch.set_num_threads(1)
        from emosh_core.artifacts import Cond
        from emosh_core.clip import _Latents
        from emosh_core.generate.animate import animate
        from emosh_core.generate.diffusion import DiffusionGenerator
        from emosh_core.generate.generator import Reference
        from emosh_core.generate.models import Spec, build
        from emosh_core.settings import AnimateConfig
        from emosh_core.workspace.artifact import Provenance, read, write

        spec = Spec(resolution=16, window=77, overlap=5, prediction="velocity")
        networks = build(spec, heads=1, head_width=12, layers=1, vae_width=8, seed=0)
        side, folder = 128, Path({str(tmp_path)!r})

        def run(count):
            group = zarr.create_array(folder / f"cond{{count}}", shape=(count, side, side, 3), dtype="uint8",
                                      chunks=(64, side, side, 3))
            for start in range(0, count, 64):
                random = np.random.default_rng(start)
                group[start : start + 64] = random.integers(0, 256, (min(64, count - start), side, side, 3))
            few = lambda *dims: np.zeros((count, *dims), np.float32)
            cond = Cond(frames=group, mask=few(1, 1), keypoints=few(1, 2), keypoints_drawn=few(1), valid=few(),
                        K=few(3, 3), w2c=few(4, 4), time=few(), fps=25.0)
            reference = Reference(image=np.zeros((side, side, 3), np.uint8), motion=None)
            generator = DiffusionGenerator(networks, cond, reference, AnimateConfig(steps=1), name="tiny")
            latents, written = _Latents(folder / f"latents{{count}}"), []
            animate(generator, count, AnimateConfig(), write=lambda frame: written.append(int(frame[0, 0, 0])),
                    write_latents=latents.append, scratch=folder / f"scratch{{count}}")
            assert len(written) == count and latents.stored.shape[0] == 20 * len(range(5, count, 72))
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        few, many = run(200), run(2000)
        print("GROWTH", many - few)
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("GROWTH")[1]) < GROWTH_MB, done.stdout
