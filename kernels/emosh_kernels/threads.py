"""Threads for kernels that release the GIL; they outlive the call, because starting them costs more than small work."""

import functools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Job = TypeVar("Job")


def for_each(work: Callable[[Job], None], jobs: Iterable[Job]) -> None:
    """Call `work` with every job, on torch.get_num_threads() threads; the calling thread is one of them.

    Jobs that write to places of their own give the same result whatever the number of threads. A job
    may call this function itself.

    Raises:
        Exception: what a job raised.
    """
    jobs, threads = list(jobs), torch.get_num_threads()
    if threads == 1 or len(jobs) < 2:
        for job in jobs:
            work(job)
        return
    waiting = [(job, _pool(threads - 1).submit(work, job)) for job in jobs[1:]]
    work(jobs[0])
    for job, future in reversed(waiting):
        if future.cancel():  # no other thread has begun it: from here on the caller does it
            work(job)
    for _, future in waiting:
        if not future.cancelled():
            future.result()


def stretches(count: int, least: int = 1) -> list[tuple[int, int]]:
    """Cut range(count) into equal stretches, first and stop, one for each thread.

    There are fewer where they would be shorter than `least`: waking a thread costs 0.1 ms.
    """
    parts = max(1, min(torch.get_num_threads(), count // least))
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="emosh_kernels")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has the pool but not its threads
