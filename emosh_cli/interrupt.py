"""Ctrl-C that cannot get lost.

Some libraries swallow a KeyboardInterrupt that reaches them while they are imported or compiled. The
handler remembers it, and the next sign of progress raises it again.
"""

import signal

_pressed = False


def install() -> None:
    """Take over SIGINT for this process; call it from the main thread."""
    global _pressed
    _pressed = False
    signal.signal(signal.SIGINT, _interrupt)


def _interrupt(signum, frame) -> None:
    global _pressed
    _pressed = True
    raise KeyboardInterrupt


def check() -> None:
    """Raise KeyboardInterrupt if it was pressed and swallowed."""
    if _pressed:
        raise KeyboardInterrupt
