"""Threads for kernels: every job runs once, errors come out, a forked process has its own."""

import os
import threading
import time

import pytest
import torch
from emosh_kernels.threads import for_each, stretches
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@given(count=st.integers(0, 100), least=st.integers(1, 50))
def test_stretches_cover_a_range_in_order_and_are_not_too_short(count, least):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = stretches(count, least)
    finally:
        torch.set_num_threads(before)
    assert [i for first, stop in found for i in range(first, stop)] == list(range(count))
    assert len(found) <= 3 and (len(found) == 1 or all(stop - first >= least for first, stop in found))


def test_every_job_runs_once(threads):
    done = []
    for_each(done.append, range(50))
    assert sorted(done) == list(range(50))
    for_each(done.append, [])
    assert len(done) == 50


@pytest.mark.timeout(30)
def test_jobs_may_have_jobs(threads):
    done = []
    for_each(lambda _: for_each(done.append, range(5)), range(4))
    assert sorted(done) == sorted([*range(5)] * 4)


def meet(threads: int) -> set[int]:
    """Run jobs that end only if `threads` of them run at a time; return who ran them."""
    meeting, seen = threading.Barrier(threads, timeout=10), set()

    def work(_):
        meeting.wait()
        seen.add(threading.get_ident())

    for_each(work, range(threads))
    return seen


def test_as_many_threads_as_torch_has_and_the_caller_is_one(threads):
    seen = meet(threads)
    assert len(seen) == threads and threading.get_ident() in seen


def test_never_more_at_a_time(threads):
    running, most, lock = 0, 0, threading.Lock()

    def work(_):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    for_each(work, range(4 * threads))
    assert most == threads


@pytest.mark.parametrize("bad", [0, 4])
def test_error_of_a_job_comes_out(threads, bad):
    with pytest.raises(ZeroDivisionError):
        for_each(lambda job: 1 / (job - bad), range(5))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_process_starts_threads_of_its_own(threads):
    meet(threads)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if len(meet(threads)) == threads else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
