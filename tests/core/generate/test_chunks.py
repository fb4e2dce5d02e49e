"""The plan of chunks: every frame once, in order, with valid frames to work from."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.generate.chunks import chunk_seed, plan_chunks, zigzag

TABLE = [
    # frames, windows, padded frames
    (1, [(0, 77)], 76),
    (4, [(0, 77)], 73),
    (5, [(0, 77)], 72),
    (76, [(0, 77)], 1),
    (77, [(0, 77)], 0),
    (78, [(0, 77), (72, 149)], 71),
    (149, [(0, 77), (72, 149)], 0),
    (200, [(0, 77), (72, 149), (144, 221)], 21),
    (436, [(72 * k, 72 * k + 77) for k in range(6)], 1),
]


@pytest.mark.parametrize(("frames", "windows", "padded"), TABLE)
def test_windows_of_the_full_size_model(frames, windows, padded):
    plan = plan_chunks(frames)
    assert [(chunk.start, chunk.stop) for chunk in plan] == windows
    assert plan[-1].stop - frames == padded


def test_nine_thousand_frames_take_125_chunks():
    plan = plan_chunks(9000)
    assert len(plan) == 125
    assert (plan[-1].start, plan[-1].stop) == (8928, 9005)


@pytest.mark.property
@given(st.integers(1, 500), st.sampled_from([(77, 5), (17, 5), (9, 5), (9, 1), (8, 0)]))
def test_every_frame_is_delivered_once_and_in_order(frames, sizes):
    window, overlap = sizes
    plan = plan_chunks(frames, window=window, overlap=overlap)
    assert np.concatenate([chunk.indices[chunk.keep] for chunk in plan]).tolist() == list(range(frames))
    for before, after in pairwise(plan):
        assert before.stop - after.start == overlap
        assert before.indices[window - overlap :].tolist() == after.indices[:overlap].tolist()
    for chunk in plan:
        assert len(chunk.indices) == window
        assert chunk.indices.min() >= 0
        assert chunk.indices.max() < frames


def test_padding_turns_back_at_the_end():
    assert zigzag(np.arange(9), 4).tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert zigzag(np.arange(3), 1).tolist() == [0, 0, 0]


def test_no_frames_are_refused():
    with pytest.raises(ArtifactError, match="no frames to animate"):
        plan_chunks(0)


def test_an_overlap_as_long_as_the_window_is_refused():
    with pytest.raises(ConfigError, match="longer than its overlap"):
        plan_chunks(10, window=5, overlap=5)


def test_seeds_of_chunks_differ_and_stay():
    seeds = [chunk_seed(seed, chunk) for seed in range(3) for chunk in range(50)]
    assert len(set(seeds)) == 150
    assert min(seeds) >= 0
    assert chunk_seed(0, 1) == 2918264622725855778  # kept chunks of older versions stay valid
