"""The choice of an implementation: by device, said once, and never silently something else."""

import logging

import pytest
from emosh_kernels import dispatch

OFFERED = {"numba": ("cpu",), "reference": ("cpu", "cuda")}


def test_auto_takes_the_fastest_for_the_device():
    assert dispatch.choose("draw", "auto", "cpu", OFFERED) == "numba"
    assert dispatch.choose("draw", "auto", "cuda", OFFERED) == "reference"


def test_impl_that_cannot_run_is_an_error():
    with pytest.raises(RuntimeError, match="runs on cpu, the inputs are on cuda"):
        dispatch.choose("draw", "numba", "cuda", OFFERED)
    with pytest.raises(RuntimeError, match="pip install no_such_package"):
        dispatch.choose("draw", "no_such_package", "cpu", {"no_such_package": ("cpu",)})
    with pytest.raises(ValueError, match="auto, numba, reference"):
        dispatch.choose("draw", "metal", "cpu", OFFERED)


def test_choice_is_logged_once(caplog):
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            dispatch.choose("a new operator", "auto", "cpu", OFFERED)
    assert len([r for r in caplog.records if "a new operator" in r.message]) == 1
