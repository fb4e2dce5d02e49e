"""When a touch holds and how it fades: laws and worked examples."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emosh_core.geometry.spans import BRIDGED, FADE, LEAST, fade, held, spans

flag_lists = st.lists(st.booleans(), min_size=1, max_size=60)


def clock(flags, seed=0):
    """Uneven frame times of a clip of about 30 frames a second."""
    return np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.05, len(flags)))


@given(flags=flag_lists)
@settings(max_examples=50, deadline=None)
def test_spans_are_the_runs(flags):
    flags = np.array(flags)
    again = np.zeros_like(flags)
    for start, stop in spans(flags):
        assert flags[start:stop].all()
        again[start:stop] = True
    np.testing.assert_array_equal(again, flags)


@given(begins=flag_lists, seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_no_gap_and_no_spell_is_too_short(begins, seed):
    rng = np.random.default_rng(seed)
    begins = np.array(begins)
    time = clock(begins, seed)
    flags = held(begins, rng.random(len(begins)) < 0.5, time)
    ends = np.append(time, time[-1] + (np.median(np.diff(time)) if len(time) > 1 else 0))
    for wanted, least in ((flags, LEAST), (~flags, BRIDGED)):
        for start, stop in spans(wanted):
            if start > 0 and stop < len(flags) and least == LEAST:
                assert ends[stop] - ends[start] >= least
    assert not flags.any() or begins.any()


def test_a_touch_goes_on_to_both_sides_and_ends_where_it_no_longer_goes_on():
    time = np.arange(20) / 30
    begins, goes_on = np.zeros(20, bool), np.zeros(20, bool)
    begins[8], goes_on[4:12], goes_on[15:18] = True, True, True
    np.testing.assert_array_equal(np.flatnonzero(held(begins, goes_on, time)), np.arange(4, 12))


def test_short_spells_are_dropped_but_not_at_the_ends_of_the_clip():
    time = np.arange(30) / 30
    for first, kept in ((0, 1), (10, 0), (29, 1)):
        flags = np.arange(30) == first
        assert held(flags, flags, time).sum() == kept
    assert held(np.ones(1, bool), np.ones(1, bool), np.zeros(1)).all()


def test_short_gaps_are_closed():
    time, flags = np.arange(30) / 30, np.ones(30, bool)
    flags[10:12] = False
    assert held(flags, flags, time).all()
    flags[10:16] = False
    np.testing.assert_array_equal(held(flags, flags, time), flags)


@given(flags=flag_lists, seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_weights_are_one_on_a_touch_and_never_jump(flags, seed):
    flags = np.array(flags)
    time = clock(flags, seed)
    result = fade(flags, time)
    np.testing.assert_array_equal(result.weight[flags], 1)
    assert (result.weight >= 0).all() and (result.weight <= 1 + 1e-6).all()
    assert flags[result.before[result.weight_before > 0]].all()
    assert flags[result.after[result.weight_after > 0]].all()
    if not flags.any():
        assert not result.weight.any()
    # The steepest part of 3x² − 2x³ is 1.5.
    assert (np.abs(np.diff(result.weight)) <= 1.5 * np.diff(time) / FADE + 1e-6).all()


def test_far_from_a_touch_nothing_counts():
    flags = np.zeros(60, bool)
    flags[20:25] = True
    weight = fade(flags, np.arange(60) / 30).weight
    np.testing.assert_array_equal(np.flatnonzero(weight), np.arange(16, 29))  # 0.15 s are 4.5 frames


def test_close_touches_fade_into_each_other():
    flags = np.ones(20, bool)
    flags[8:13] = False
    result = fade(flags, np.arange(20) / 30)
    np.testing.assert_allclose(result.weight, 1, atol=1e-6)
    assert (np.diff(result.weight_before[7:13]) < 0).all()
    assert set(result.before[8:13]) == {7} and set(result.after[8:13]) == {13}
