"""The diffusion generator on tiny random networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from emosh_core.errors import AssetError
from emosh_core.generate.animate import animate
from emosh_core.generate.diffusion import DiffusionGenerator, add_detail, latest_checkpoint, trust_in_preview
from emosh_core.generate.generator import Chunk, Reference
from emosh_core.generate.models import Spec, build
from emosh_core.generate.pixels import Letterbox, to_frames
from emosh_core.settings import AnimateConfig


@pytest.fixture
def make_generator(networks, make_cond):
    def make(frames, **settings):
        config = AnimateConfig(steps=3, **settings)
        image = np.random.default_rng(1).integers(0, 256, (30, 18, 3)).astype(np.uint8)
        reference = Reference(image=image, motion=None)
        return DiffusionGenerator(networks, make_cond(frames), reference, config, name="runs/tiny"), config

    return make


def test_a_clip_is_made_at_the_size_of_its_condition_pictures(make_generator):
    generator, config = make_generator(14)
    frames, latents = [], []
    animate(generator, 14, config, write=frames.append, write_latents=latents.append)
    assert np.array(frames).shape == (14, 20, 14, 3)
    assert np.array(frames).std() > 0
    assert np.concatenate(latents).shape == (9, 16, 4, 4)


def test_a_later_chunk_continues_the_fp32_tail_and_the_aligned_latent(make_generator, networks):
    generator, _ = make_generator(14)
    first = generator.generate(np.arange(9), seed=1, state={})
    second = generator.generate(np.arange(4, 13), seed=2, state=first.state)
    tail = torch.from_numpy(first.state["tail"])
    assert tail.dtype == torch.float32
    assert len(np.unique(tail)) > 256  # not an 8-bit copy
    shown = [Letterbox(20, 14, 32).unfit(frame) for frame in to_frames(tail)]
    assert np.array_equal(shown, first.frames[-5:])
    assert torch.equal(torch.from_numpy(second.latents[:2]), networks.encode(tail[None])[0].movedim(0, 1))
    assert np.array_equal(first.state["aligned_latent"][:, 0], first.latents[0])
    other = dict(first.state, aligned_latent=first.state["aligned_latent"] + 1)
    assert not np.array_equal(generator.generate(np.arange(4, 13), seed=2, state=other).frames, second.frames)


def test_a_chunk_that_takes_no_latents_over_begins_where_the_last_one_ended(networks, make_cond):
    alone = replace(networks, spec=replace(networks.spec, handover="fade"))
    reference = Reference(image=np.random.default_rng(1).integers(0, 256, (30, 18, 3)).astype(np.uint8), motion=None)
    generator = DiffusionGenerator(alone, make_cond(14), reference, AnimateConfig(steps=3), name="runs/tiny")
    first = generator.generate(np.arange(9), seed=1, state={})
    second = generator.generate(np.arange(4, 13), seed=2, state=first.state)
    plain = generator.generate(np.arange(4, 13), seed=2, state={})
    assert set(first.state) == {"tail"} and np.array_equal(second.latents, plain.latents)
    step = first.frames[8] - plain.frames[4]
    assert np.abs(step).max() > 0.05
    for k in range(1, 5):
        wanted = (plain.frames[4 + k] + (1 - k / 5) * step).clip(0, 1)
        assert np.abs(second.frames[4 + k] - wanted).max() < 1e-5
    assert np.array_equal(second.frames[:5], plain.frames[:5])


@pytest.mark.parametrize("solver", ["euler", "unipc"])
def test_an_interrupted_clip_continues_bit_by_bit(make_generator, tmp_path, solver):
    generator, config = make_generator(17, solver=solver)
    straight, resumed = [], []
    expected, latents = [], []
    animate(generator, 17, config, write=straight.append, write_latents=expected.append)

    def stop_after_first(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        animate(generator, 17, config, write=lambda frame: None, scratch=tmp_path, progress=stop_after_first)
    assert len(list(tmp_path.glob("chunk_*.npz"))) == 1
    animate(make_generator(17, solver=solver)[0], 17, config, write=resumed.append, write_latents=latents.append,
            scratch=tmp_path)  # fmt: skip
    assert np.array_equal(straight, resumed)
    assert np.array_equal(latents, expected)


def test_motion_reference_and_seed_all_matter(make_generator, networks, make_cond):
    generator, config = make_generator(9)
    usual = generator.generate(np.arange(9), seed=1, state={}).latents
    noise = generator.generate(np.arange(9), seed=2, state={}).latents
    still = generator.generate(np.zeros(9, np.int64), seed=1, state={}).latents
    grey = Reference(image=np.full((30, 18, 3), 128, np.uint8), motion=None)
    other = DiffusionGenerator(networks, make_cond(9), grey, config, name="tiny").generate(
        np.arange(9), seed=1, state={}
    )
    assert not np.array_equal(usual, noise)
    assert not np.array_equal(usual, still)
    assert not np.array_equal(usual, other.latents)


def test_a_run_without_checkpoint_is_refused(tmp_path):
    with pytest.raises(AssetError, match="holds no checkpoint"):
        latest_checkpoint(tmp_path)


def test_detail_is_kept_where_clip_and_preview_agree_and_dropped_where_they_do_not():
    shown = torch.rand(3, 2, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    base = 0.5 * shown  # a round trip that halves the contrast

    def blended(made):
        share, keep = (torch.from_numpy(part) for part in trust_in_preview(made, base))
        return add_detail(shown, made, base, share, keep), share, keep

    same, share, keep = blended(base.clone())
    torch.testing.assert_close(same, shown)
    assert (share == 0).all() and (keep == 1).all()
    made = base.clone()
    made[:, :, :16] += 1.6
    mixed, share, keep = blended(made)
    assert (keep[:, :12] < 0.01).all() and (share[:, :12] > 0.99).all() and (keep[:, 20:] > 0.99).all()
    torch.testing.assert_close(mixed[:, :, 22:], shown[:, :, 22:], rtol=0, atol=2e-2)
    torch.testing.assert_close(mixed[:, :, :12], made[:, :, :12], rtol=0, atol=2e-2)
    noise, _, _ = blended(base + 0.01)
    torch.testing.assert_close(noise, shown, rtol=0, atol=1e-3)


class Drawn:
    """A preview generator that draws what it is told to."""

    name, window, overlap = "drawn", 16, 0

    def __init__(self, frames):
        self.frames = frames

    def generate(self, indices, *, seed, state):
        return Chunk(frames=self.frames[indices])


def test_an_untrained_corrector_shows_the_preview_itself(make_cond):
    spec = Spec(resolution=32, window=9, overlap=5, prediction="correction", cond_fill="preview", detail=True)
    networks = build(spec, heads=2, head_width=12, layers=1, vae_width=8, seed=1)
    frames = np.random.default_rng(2).random((14, 20, 14, 3)).astype(np.float32)
    reference = Reference(image=np.full((30, 18, 3), 90, np.uint8), motion=None)
    config = AnimateConfig(steps=3)
    generator = DiffusionGenerator(
        networks, make_cond(14), reference, config, name="new", preview=Drawn(frames)
    )  # fmt: skip
    made = []
    animate(generator, 9, config, write=made.append)
    assert np.abs(np.array(made) / 255 - frames[:9]).max() < 0.02
    with pytest.raises(ValueError, match="needs a preview generator"):
        DiffusionGenerator(networks, make_cond(14), reference, config, name="new")


def test_the_background_is_left_alone(make_cond):
    spec = Spec(resolution=32, window=9, overlap=5, prediction="velocity", cond_fill="preview", detail=True)
    networks = build(spec, heads=2, head_width=12, layers=1, vae_width=8, seed=1)  # untrained: makes noise
    frames = np.random.default_rng(2).random((9, 32, 32, 3)).astype(np.float32)
    person = np.zeros((9, 32, 32), bool)
    person[:, :, 18:] = True
    reference, cond = Reference(image=np.full((32, 32, 3), 90, np.uint8), motion=None), make_cond(9)
    cond = replace(cond, frames=np.zeros((9, 32, 32, 3), np.uint8), mask=person)
    generator = DiffusionGenerator(
        networks, cond, reference, AnimateConfig(steps=1), name="new", preview=Drawn(frames)
    )  # fmt: skip
    made = generator.generate(np.arange(9), seed=0, state={}).frames
    np.testing.assert_allclose(made[:, :, :16], frames[:, :, :16], atol=1e-4)
    assert np.abs(made - frames)[:, :, 17:].mean() > 0.05
