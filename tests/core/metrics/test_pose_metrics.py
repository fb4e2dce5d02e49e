"""Errors of joints against truth: what each alignment forgives and what it does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from emosh_core.metrics.pose import amplitude, correlation, procrustes_aligned, root_aligned

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=(5, 14, 3))


def test_a_shift_is_forgiven_by_the_root():
    assert root_aligned(TRUTH + np.array([1, -2, 3]), TRUTH).max() < 1e-12
    bigger = root_aligned(TRUTH * 1.1, TRUTH)
    np.testing.assert_allclose(bigger, 0.1 * np.linalg.norm(TRUTH - TRUTH[:, :1], axis=-1), atol=1e-12)


@given(st.integers(0, 10**6), st.floats(0.3, 3))
def test_turn_shift_and_size_are_forgiven_by_procrustes(seed, size):
    rng = np.random.default_rng(seed)
    turn = Rotation.random(len(TRUTH), random_state=seed).as_matrix()
    moved = size * np.einsum("tij,tkj->tki", turn, TRUTH) + rng.normal(size=(len(TRUTH), 1, 3))
    assert procrustes_aligned(moved, TRUTH).max() < 1e-9


def test_a_mirror_image_is_not_forgiven():
    assert procrustes_aligned(TRUTH * [-1, 1, 1], TRUTH).mean() > 0.3


def test_procrustes_only_looks_at_what_is_seen():
    wrong = TRUTH.copy()
    wrong[:, 3] += 5
    seen = np.ones(TRUTH.shape[:2], bool)
    seen[:, 3] = False
    assert procrustes_aligned(wrong, TRUTH, seen)[seen].max() < 1e-9 < procrustes_aligned(wrong, TRUTH).min()
    seen[2, 2:] = False
    assert np.isnan(procrustes_aligned(wrong, TRUTH, seen)[2]).all()


def test_correlation_and_amplitude():
    t = np.linspace(0, 6, 50)
    assert correlation(np.sin(t), 3 * np.sin(t) + 1) == pytest.approx(1)
    assert np.isnan(correlation(np.sin(t), np.ones(50))) and np.isnan(correlation(t[:2], t[:2]))
    truth = np.zeros((50, 3, 3))
    truth[:, 1, 1], truth[:, 2, 0] = 0.1 * np.sin(t), np.sin(3 * t)
    half = truth.copy()
    half[:, 2] *= 0.5
    assert amplitude(truth + 1, truth, [1, 2]) == pytest.approx(1)
    assert amplitude(half, truth, [1, 2]) == pytest.approx(0.5) and amplitude(half, truth, [1]) == pytest.approx(1)
    assert np.isnan(amplitude(half, truth, []))
