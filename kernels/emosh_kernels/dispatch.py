"""Which implementation of an operator runs, and why; said once per process in the log."""

import functools
import importlib.util
import logging
import os

_log = logging.getLogger(__name__)

TRITON_RUNS_ON = ("cuda", "cpu") if os.environ.get("TRITON_INTERPRET") == "1" else ("cuda",)
"""Device types for `OFFERED`. Triton's interpreter, for tests, also takes tensors on the CPU."""


def choose(operator: str, impl: str, device: str, offered: dict[str, tuple[str, ...]]) -> str:
    """Return the implementation to run.

    Args:
        operator: name of the operator, for messages.
        impl: "auto" or a key of `offered`.
        device: device type of the inputs, "cpu" or "cuda".
        offered: implementation → device types it runs on, fastest first.

    Raises:
        ValueError: `impl` is not a known word.
        RuntimeError: the implementation asked for cannot run here.
    """
    if impl == "auto":
        chosen = next((name for name, devices in offered.items() if device in devices), "reference")
        why = f"fastest for {device}"
    elif impl in offered:
        if device not in offered[impl]:
            where = "/".join(offered[impl])
            raise RuntimeError(f"{operator}: impl={impl!r} runs on {where}, the inputs are on {device}")
        chosen, why = impl, "asked for"
    else:
        raise ValueError(f"{operator}: impl={impl!r} is not one of {', '.join(['auto', *offered])}")
    if chosen != "reference" and not _installed(chosen):
        raise RuntimeError(f"{operator}: impl={chosen!r} needs the package {chosen!r}: pip install {chosen}")
    _announce(operator, chosen, why)
    return chosen


@functools.cache
def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@functools.cache
def _announce(operator: str, chosen: str, why: str) -> None:
    _log.info("%s: using the %s implementation (%s)", operator, chosen, why)
