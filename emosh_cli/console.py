"""What a person sees: progress and notes on stderr, results on stdout."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from emosh_cli import interrupt


class Console:
    """Progress and notes; both are gone with `quiet`, bars become one line where stderr is no terminal."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False):
        self.quiet, self.verbose = quiet, verbose

    def note(self, text: str) -> None:
        """Say one line on stderr."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def detail(self, text: str) -> None:
        """Say one line on stderr if asked for more."""
        if self.verbose:
            self.note(text)

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[..., None]]:
        """Show a bar; yields a function that takes (done, total), and how it goes where there is something to say."""
        if self.quiet or not sys.stderr.isatty():
            self.note(f"{title} …")  # a log shows at least which stage is running
            yield lambda done, total, how="": interrupt.check()
            return
        from rich.console import Console as RichConsole
        from rich.progress import Progress, TimeRemainingColumn

        with Progress(
            *Progress.get_default_columns()[:-1],
            TimeRemainingColumn(),
            console=RichConsole(stderr=True),
            transient=True,
        ) as bars:
            bar = bars.add_task(title, total=None)

            def show(done: int, total: int, how: str = "") -> None:
                interrupt.check()
                bars.update(bar, completed=done, total=total, description=f"{title}: {how}" if how else title)

            yield show


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on stdout; numbers that JSON does not know become null."""
    print(to_json(value), flush=True)


def to_json(value: dict[str, Any]) -> str:
    """Return a value as strict JSON on one line."""
    return json.dumps(_finite(value), ensure_ascii=False, default=str, allow_nan=False)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on stdout."""
    from rich import box
    from rich.console import Console as RichConsole
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    width = None if sys.stdout.isatty() else 200
    RichConsole(width=width, markup=False, highlight=False).print(table)


def _text(cell: Any) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
