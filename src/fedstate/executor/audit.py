"""Listening to Python's audit events, of which nobody can hear only a part."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Listener = Callable[[str, Sequence[Any]], None]

_listeners: list[tuple[frozenset[str], Listener]] = []
_hooked: list[bool] = []


@contextlib.contextmanager
def listening(events: frozenset[str], listener: Listener) -> Iterator[None]:
    """Call the listener with each of these events, on its thread, while the block runs.

    What the listener raises, the code raises that caused the event.
    """
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_hear)
    entry = (events, listener)
    _listeners.append(entry)
    try:
        yield
    finally:
        _listeners.remove(entry)


def _hear(event: str, arguments: Sequence[Any]) -> None:
    for events, listener in _listeners:
        if event in events:
            listener(event, arguments)
