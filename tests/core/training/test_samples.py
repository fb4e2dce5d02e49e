"""Training samples: files, mix of layouts, references from another moment, warps, cached latents."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import make_disc

from emosh_core.durable import durable_directory
from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.generate.models import Spec, build
from emosh_core.generate.pixels import to_tensor
from emosh_core.training.augment import draw_layout, warp_reference
from emosh_core.training.autoencoder import decode_unclamped, draw_clips, normalise, similarity, weigh
from emosh_core.training.checkpoint import newest_checkpoint
from emosh_core.training.footage import choose_references, reference_candidates, window_starts
from emosh_core.training.latents import Latents, cache_latents, open_cache
from emosh_core.training.people import draw_moments
from emosh_core.training.samples import Samples, StoredSample, save_sample

ALL = (slice(0, 32), slice(0, 32))


def small_networks():
    spec = Spec(resolution=32, window=9, overlap=5, prediction="correction", cond_fill="preview")
    return build(spec, heads=2, head_width=12, layers=1, vae_width=8, seed=0)


@pytest.fixture(scope="module")
def networks():
    return small_networks()


@pytest.fixture(scope="module")
def latents(networks, discs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("latents")
    return Latents(cache_latents(networks, discs, folder, side=32))


def draw(latents, seed=0, *, layout=(False, False), fill="preview", warp=0.5):
    return latents.draw(
        np.random.default_rng(seed), size=2, layout=layout, warp=warp, fill=fill, grey=torch.zeros(1, 16, 3, 4, 4),
        tail=2, device=torch.device("cpu"),
    )  # fmt: skip


def test_samples_come_back_piece_by_piece(discs):
    sample = make_disc(1)
    stored = discs[1]
    assert stored.shape == (2, 9, 32, 32, 3) and stored.windows == 2
    part = (slice(4, 20), slice(2, 32))
    assert np.array_equal(stored.read("cond", 1, slice(3, 8), part), sample.cond[1, 3:8, 4:20, 2:32])
    assert np.array_equal(stored.reference, sample.reference)
    assert np.array_equal(stored.boxes(0, slice(0, 9)), sample.boxes[0])


def test_a_broken_sample_and_none_at_all_are_errors(tmp_path):
    path = tmp_path / "a.safetensors"
    save_sample(path, make_disc())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ArtifactError, match="cannot be read"):
        StoredSample(path)
    with pytest.raises(ArtifactError, match="nothing to train on"):
        Samples([])


def test_layouts_come_in_the_promised_mix():
    rng = np.random.default_rng(0)
    draws = [draw_layout(rng, temporal=0.5, aligned=0.1) for _ in range(10_000)]
    shares = [draws.count(layout) / len(draws) for layout in [(False, False), (True, False), (True, True)]]
    assert sum(shares) == 1
    assert shares == pytest.approx([0.5, 0.45, 0.05], abs=0.02)


def test_half_of_the_references_are_warped(networks, discs, latents):
    clean = torch.cat([networks.encode(to_tensor(discs[i].reference[None])[None]) for i in range(2)])
    warped = 0
    for seed in range(100):
        reference = draw(latents, seed).conditions.reference_latent
        distance = (clean[:, None] - reference).abs().amax((2, 3, 4, 5)).amin(0)
        warped += int((distance > 1e-2).sum())
    assert warped / 200 == pytest.approx(0.5, abs=0.12)


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


def test_windows_share_few_references_but_never_one_of_their_own_moment():
    starts = window_starts(300, 17, 8)
    groups = choose_references(np.ones(300, bool), starts, 17, 25, 4, seed=3)
    assert sorted(start for group in groups.values() for start in group) == starts.tolist()
    assert 4 <= len(groups) <= 7
    for frame, group in groups.items():
        assert all(frame < start - 25 or frame >= start + 17 + 25 for start in group)


def test_synthetic_windows_keep_away_from_their_reference():
    for seed in range(200):
        moments = draw_moments(np.random.default_rng(seed), 90, 17, 2)
        assert len(moments) == 35 and (0 <= moments).all() and (moments < 90).all()
        assert np.abs(moments[1:] - moments[0]).min() > 11
        assert (np.diff(moments[1:18]) == 1).all() and (np.diff(moments[18:]) == 1).all()


def test_a_batch_is_what_a_chunk_is_given(latents):
    plain = draw(latents, layout=(False, False))
    given = draw(latents, layout=(True, True))
    assert plain.conditions.temporal_latents is None and plain.conditions.aligned_latent is None
    assert torch.equal(given.conditions.temporal_latents, given.clips[:, :, :2])
    assert given.conditions.aligned_latent.shape == (2, 16, 1, 4, 4)
    assert given.conditions.conditioned.tolist() == [True] * 4 + [False]
    assert given.weight.shape == (2, 1, 3, 4, 4) and given.weight.min() >= 1


def test_the_fill_is_what_the_settings_say(latents):
    grey, preview, reference = (draw(latents, fill=fill).conditions for fill in ("paste", "preview", "reference"))
    assert (grey.fill == 0).all()
    assert torch.equal(reference.fill, reference.reference_latent.expand(-1, -1, 3, -1, -1))
    assert preview.fill.std() > 0 and not torch.equal(preview.fill, reference.fill)


def test_latents_are_encoded_once_and_only_by_one_vae(networks, discs, tmp_path):
    mine = {"key": {"vae": "a"}, "side": 32}
    open_cache(tmp_path, **mine)
    paths = cache_latents(networks, discs, tmp_path, side=32)
    paths[0].write_bytes(b"left alone")
    open_cache(tmp_path, **mine)
    cache_latents(networks, discs, tmp_path, side=32)
    assert paths[0].read_bytes() == b"left alone"
    for other in ({"key": {"vae": "b"}}, {"side": 16}):
        with pytest.raises(ConfigError, match="another VAE"):
            open_cache(tmp_path, **mine | other)


def test_cached_latents_are_those_of_encoding_now(networks, discs, latents):
    batch = draw(latents, warp=0.0)
    videos = [discs[i].read("frames", window, slice(0, 9), ALL) for i in (0, 1) for window in (0, 1)]
    frames = [networks.encode(to_tensor(video)[None]) for video in videos]
    errors = [min((clip - frame[0]).abs().max() for frame in frames) for clip in batch.clips]
    assert max(errors) < 2e-3  # float16


def test_clips_for_the_vae_weigh_face_and_hands_most(discs):
    clips, weight = draw_clips(discs, np.random.default_rng(1), size=2, length=5, side=16)
    assert clips.shape == (2, 3, 5, 16, 16) and weight.shape == (2, 1, 5, 16, 16)
    assert draw_clips(discs, np.random.default_rng(1), size=2, length=1, side=16)[0].shape == (8, 3, 1, 16, 16)
    assert clips.min() >= -1 and clips.max() <= 1
    cond = np.zeros((1, 8, 8, 3), np.uint8)
    cond[0, 2:6, 2:6] = 50
    weights = weigh(cond, np.array([[[11, 10, 14, 12], [0, 0, 0, 0]]]), (slice(8, 16), slice(8, 16)))[0]
    assert weights[0, 0] == 1 and weights[5, 2] == 2
    assert (weights[2:4, 3:6] == 4).all() and weights.sum() == 6 * 4 + (16 - 6) * 2 + (64 - 16)


def test_similarity_is_one_for_equal_pictures_and_less_for_others():
    picture = torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(similarity(picture, picture), torch.ones(2, 3, 13, 13), rtol=0, atol=1e-3)
    assert similarity(picture, picture.flip(0)).mean() < 0.3


def test_training_decodes_as_the_vae_does_but_without_its_clamp(networks):
    latents = 40 * torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        free = decode_unclamped(networks.vae, latents)
        clamped = networks.vae.decode(latents).sample
    assert free.shape == (1, 3, 5, 32, 32)
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


def test_normalised_latents_have_mean_zero_and_spread_one(discs):
    networks = small_networks()
    normalise(networks, discs)
    values = torch.cat([networks.encode(to_tensor(discs[i].read("frames", 0, slice(0, 9), ALL))[None]) for i in (0, 1)])
    torch.testing.assert_close(values.mean((0, 2, 3, 4)), torch.zeros(16), rtol=0, atol=1e-4)
    torch.testing.assert_close(values.std((0, 2, 3, 4)), torch.ones(16), rtol=0, atol=1e-2)


def test_training_on_people_needs_neither_codecs_nor_a_detector_nor_zarr():
    code = (
        "import sys\nfor name in ('av', 'mediapipe', 'zarr'):\n    sys.modules[name] = None\n"
        "import emosh_core.training.people, emosh_core.training.train, emosh_core.training.pictures\n"
        "import emosh_core.synth.painted\nfrom emosh_core.body.assets import load_body\nload_body()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
