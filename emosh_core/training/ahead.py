"""Draw the data of coming steps while the present one computes."""

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """A pure function of (step, micro-batch) whose next values are being computed; use it as a context."""

    def __init__(self, draw: Callable[[int, int], T], *, steps: int, workers: int, end: int | None = None):
        """Take the function.

        Args:
            steps: how many steps to be ahead.
            workers: threads that draw.
            end: the step that there is no more; none by default.
        """
        self._draw, self._steps, self._end = draw, steps, math.inf if end is None else end
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="draw")
        self._coming: dict[tuple[int, int], Future[T]] = {}

    def __call__(self, step: int, group: int) -> T:
        """Return the value of a step and micro-batch, and have those of the next steps drawn."""
        for coming in range(step, step + self._steps + 1):
            if coming < self._end and (coming, group) not in self._coming:
                self._coming[coming, group] = self._pool.submit(self._draw, coming, group)
        return self._coming.pop((step, group)).result()

    def __enter__(self) -> "Ahead[T]":
        return self

    def __exit__(self, *_) -> None:
        self._pool.shutdown(cancel_futures=True)
