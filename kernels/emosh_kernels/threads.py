"""Threads for kernels that release the GIL; they outlive the call, because starting them costs more than small work."""

import functools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Job = TypeVar("Job")


def for_each(work: Callable[[Job], None], jobs: Iterable[Job]) -> None:
    """Call `work` with every job, on torch.get_num_threads() threads at a time.

    `work` must not call this function itself: its threads would wait for each other. Jobs that write
    to places of their own give the same result whatever the number of threads.

    Raises:
        Exception: what the first job that failed raised.
    """
    jobs, threads = list(jobs), torch.get_num_threads()
    if threads == 1 or len(jobs) < 2:
        for job in jobs:
            work(job)
    else:
        list(_pool(threads).map(work, jobs))


def stretches(count: int, parts: int | None = None) -> list[tuple[int, int]]:
    """Cut range(count) into at most `parts` (default: one per thread) stretches, first and stop, none empty."""
    parts = min(count, torch.get_num_threads() if parts is None else parts)
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="emosh_kernels")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has the pool but not its threads
