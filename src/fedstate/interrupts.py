"""Ending in order: whatever was started is stopped, also when a signal comes in between.

A shell that runs a program in its background may start it with SIGINT ignored, so that Ctrl-C
ends the program in the foreground alone. Such a program goes on ignoring SIGINT here; SIGTERM
stops it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Turn SIGTERM into ``KeyboardInterrupt``, so that it unwinds the program as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block is done.

    An interrupt between starting a process and remembering it, or while stopping one of several,
    would leave processes behind that nobody stops. A signal that is ignored stays ignored, and so
    cannot take the place of one that is not.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs signal handlers in the main thread alone
        return
    held: list[int] = []
    previous = {
        number: signal.signal(number, lambda received, _: held.append(received))
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])
