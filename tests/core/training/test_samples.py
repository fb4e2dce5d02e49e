"""Training samples: mix of layouts, references from another moment, warps, checkpoints."""

import numpy as np
import pytest
import torch

from emosh_core.durable import durable_directory
from emosh_core.generate.models import Spec, build
from emosh_core.training.augment import draw_layout, warp_reference
from emosh_core.training.autoencoder import decode_unclamped, normalise_latents
from emosh_core.training.checkpoint import newest_checkpoint
from emosh_core.training.dataset import (
    draw_batch,
    encode_windows,
    load_pixels,
    reference_candidates,
    window_starts,
)


@pytest.fixture(scope="module")
def networks():
    spec = Spec(resolution=16, window=9, overlap=5, prediction="z0")
    return build(spec, heads=2, head_width=12, layers=1, vae_width=8, seed=0)


def test_layouts_come_in_the_promised_mix():
    rng = np.random.default_rng(0)
    draws = [draw_layout(rng, temporal=0.5, aligned=0.1) for _ in range(10_000)]
    shares = [draws.count(layout) / len(draws) for layout in [(False, False), (True, False), (True, True)]]
    assert sum(shares) == 1
    assert shares == pytest.approx([0.5, 0.45, 0.05], abs=0.02)


def test_half_of_the_references_are_warped(networks, disc):
    pixels = load_pixels(*disc, 16)
    cache = encode_windows(networks, pixels, stride=8)
    rng, warped, count = np.random.default_rng(0), 0, 100
    clean = networks.encode(torch.from_numpy(pixels.rgb).permute(0, 3, 1, 2)[:, :, None].float() / 127.5 - 1)
    for _ in range(count):
        batch = draw_batch(networks, cache, pixels, rng, size=1, layout=(False, False), warp=0.5)
        distance = (clean - batch[0].reference_latent).abs().amax((1, 2, 3, 4)).min()
        warped += bool(distance > 1e-4)
    assert warped / count == pytest.approx(0.5, abs=0.15)


def test_warps_move_the_picture_within_their_range():
    image = np.zeros((64, 64, 3), np.uint8)
    image[24:40, 24:40] = 255
    rng = np.random.default_rng(1)
    areas, centres = [], []
    for _ in range(200):
        inside = warp_reference(image, rng)[..., 0] > 127
        areas.append(inside.sum() / 256)
        centres.append(np.argwhere(inside).mean(0) - 31.5)
    assert 0.4 < min(areas) < 0.75 < 1.4 < max(areas) < 2.3
    assert 6 < np.abs(centres).max() < 0.15 * 64 + 3


@pytest.mark.parametrize(
    ("valid", "expected"),
    [
        (np.ones(40, bool), [*range(5), *range(24, 40)]),  # a gap of 5 frames around the window [10, 19)
        (np.arange(40) < 22, [*range(5)]),
        (np.arange(40) % 40 == 12, [12]),  # nobody was tracked elsewhere
        (np.zeros(40, bool), [*range(5), *range(24, 40)]),
    ],
)
def test_references_come_from_another_tracked_moment(valid, expected):
    assert reference_candidates(valid, start=10, window=9, gap=5).tolist() == expected


def test_short_clips_take_references_nearby_rather_than_none():
    assert reference_candidates(np.ones(21, bool), start=8, window=9, gap=25).tolist() == [*range(8), *range(17, 21)]
    assert reference_candidates(np.ones(7, bool), start=0, window=9, gap=25).tolist() == list(range(7))


@pytest.mark.parametrize(("count", "starts"), [(30, [0, 8, 16, 21]), (9, [0]), (4, [0]), (17, [0, 8])])
def test_training_windows_reach_the_end_of_the_clip(count, starts):
    assert window_starts(count, window=9, stride=8).tolist() == starts


def test_temporal_latents_are_those_of_the_tail_frames(networks, disc):
    pixels = load_pixels(*disc, 16)
    cache = encode_windows(networks, pixels, stride=8)
    conditions, clips = draw_batch(
        networks, cache, pixels, np.random.default_rng(0), size=2, layout=(True, True), warp=0.5
    )
    assert torch.equal(conditions.temporal_latents, clips[:, :, :2])
    assert conditions.aligned_latent.shape == (2, 16, 1, 4, 4)
    assert conditions.conditioned.tolist() == [True] * 4 + [False]


def test_training_decodes_as_the_vae_does_but_without_its_clamp(networks):
    latents = 40 * torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        free = decode_unclamped(networks.vae, latents)
        clamped = networks.vae.decode(latents).sample
    assert free.shape == (1, 3, 5, 16, 16)
    assert free.abs().max() > 1
    assert torch.equal(free.clamp(-1, 1), clamped)


def test_a_half_written_checkpoint_is_never_seen(tmp_path):
    with pytest.raises(KeyboardInterrupt), durable_directory(tmp_path / "checkpoints" / "step_0000001") as folder:
        (folder / "training.json").write_text("{")
        raise KeyboardInterrupt
    assert newest_checkpoint(tmp_path) is None
    killed = tmp_path / "checkpoints" / ".tmp-step_0000002-77"
    killed.mkdir()
    assert newest_checkpoint(tmp_path) is None
    assert not killed.exists()


def test_normalised_latents_are_those_that_encoding_again_gives(disc):
    spec = Spec(resolution=16, window=9, overlap=5, prediction="z0")
    networks = build(spec, heads=2, head_width=12, layers=1, vae_width=8, seed=0)
    pixels = load_pixels(*disc, 16)
    cache = normalise_latents(networks, encode_windows(networks, pixels, stride=8))
    again = encode_windows(networks, pixels, stride=8)
    for name in ("clips", "motions", "fill"):
        assert torch.equal(getattr(cache, name), getattr(again, name))
    torch.testing.assert_close(cache.clips.mean((0, 2, 3, 4)), torch.zeros(16), rtol=0, atol=1e-4)
    torch.testing.assert_close(cache.clips.std((0, 2, 3, 4)), torch.ones(16), rtol=0, atol=1e-4)
