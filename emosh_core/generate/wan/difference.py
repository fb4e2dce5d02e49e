"""What tensors a checkpoint lacks, has too many of or has in another shape, in lines that can be read."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from emosh_core.generate.wan.keys import Shapes

LINES = 8
"""Most lines of one sort; the rest is counted."""


def difference(have: Shapes, want: Shapes) -> list[str]:
    """Compare names and shapes; no lines if they are equal.

    Tensors of the same name but for the number of a block share a line, and where all that begins
    alike is concerned the beginning is enough: `missing: blocks.*.attn2.… ×440`.
    """
    lines = _lines("missing", _grouped([name for name in want if name not in have], want))
    lines += _lines("unexpected", _grouped([name for name in have if name not in want], have))
    wrong = Counter(
        f"{_general(name)}: {have[name]} instead of {tuple(want[name])}"
        for name in want
        if name in have and tuple(have[name]) != tuple(want[name])
    )
    return lines + _lines("shape", {text.replace(":", f" ×{n}:" if n > 1 else ":", 1): n for text, n in wrong.items()})


def _lines(sort: str, groups: dict[str, int]) -> list[str]:
    lines = [f"{sort}: {text}" for text in list(groups)[:LINES]]
    if len(groups) > LINES:
        rest = sum(list(groups.values())[LINES:])
        lines.append(f"{sort}: and {rest} more of {len(groups) - LINES} sorts")
    return lines


def _general(name: str) -> str:
    """Replace the first number of a name by a star; later numbers are places inside of a block."""
    return re.sub(r"\.\d+(?=\.)", ".*", name, count=1)


def _beginnings(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def _grouped(names: list[str], among: Iterable[str]) -> dict[str, int]:
    """Describe some of the names of a checkpoint: text → how many it stands for."""
    some = Counter(start for name in names for form in {name, _general(name)} for start in _beginnings(form))
    every = Counter(start for name in among for form in {name, _general(name)} for start in _beginnings(form))
    chosen: Counter[tuple[str, bool]] = Counter()
    for name in names:
        general = _general(name)
        starts = (start for form in (general, name) for start in _beginnings(form) if some[start] == every[start])
        start = next(starts, general)
        # A lone tensor of a block that is there says more by its own name than "×1".
        start = general if start == name and every[general] > 1 else start
        chosen[start, start in (name, general)] += 1
    return {_describe(start, whole, n, every[start]): n for (start, whole), n in chosen.items()}


def _describe(start: str, whole: bool, count: int, total: int) -> str:
    text = start if whole else f"{start}.…"
    if whole and total > count:
        return f"{text} ×{count} of {total}"
    return f"{text} ×{count}" if count > 1 else text
