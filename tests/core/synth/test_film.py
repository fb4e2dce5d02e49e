"""Film: what noise, vignette and contrast do to a picture."""

import numpy as np
import pytest
import torch

from emosh_core.synth.scene.film import Film, choose_film


def record(film, frames, seed=0):
    return film.apply(frames, np.random.default_rng(seed)).float()


def test_plain_film_rounds_and_nothing_else():
    frames = torch.rand(3, 20, 30, 3, generator=torch.Generator().manual_seed(0))
    kept = frames.clone()
    torch.testing.assert_close(record(Film(), frames), (frames * 255).round(), atol=1, rtol=0)
    assert (record(Film(), frames) - frames * 255).abs().max() < 0.51 and torch.equal(frames, kept)


def test_noise_is_as_strong_as_it_says_and_new_in_every_frame():
    for level, film in ((0.2, Film(shot=0.04, read=0.01)), (0.7, Film(shot=0.04, read=0.01, coarse=0.8))):
        noisy = record(film, torch.full((6, 64, 64, 3), level)) / 255 - level
        assert noisy.std() == pytest.approx(np.sqrt(0.04**2 * level + 0.01**2), rel=0.06)
        assert noisy.mean().abs() < 0.002
        a, b = noisy[0].flatten(), noisy[1].flatten()
        assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.06


def test_vignette_darkens_corners_alone():
    seen = record(Film(vignette=0.4), torch.full((1, 50, 90, 3), 0.8))[0] / 255
    assert seen[25, 45].mean() == pytest.approx(0.8, abs=0.01) and seen[0, 0].mean() == pytest.approx(0.48, abs=0.02)


def test_contrast_keeps_black_middle_and_white():
    ramp = torch.linspace(0, 1, 5).view(1, 1, 5, 1).expand(1, 4, 5, 3).contiguous()
    seen = record(Film(contrast=0.5), ramp)[0, 0, :, 0] / 255
    assert seen[[0, 2, 4]].tolist() == pytest.approx([0, 0.5, 1], abs=0.005)
    assert seen[1] < 0.22 and seen[3] > 0.78


def test_softness_spreads_a_point_and_keeps_its_light():
    frames = torch.zeros(1, 9, 9, 3)
    frames[0, 4, 4] = 1
    seen = record(Film(soft=0.6), frames)[0, :, :, 0] / 255
    assert seen.sum() == pytest.approx(1, abs=0.02) and 0.05 < seen[4, 3] < seen[4, 4] < 0.9


def test_same_seed_same_bytes_and_levels_differ():
    frames = torch.rand(2, 40, 40, 3)
    film = choose_film(np.random.default_rng(1), 0.8)
    assert film == choose_film(np.random.default_rng(1), 0.8)
    assert torch.equal(record(film, frames, 3), record(film, frames, 3))
    assert not torch.equal(record(film, frames, 3), record(film, frames, 4))
    assert choose_film(np.random.default_rng(1), 0.0) == Film() != film
