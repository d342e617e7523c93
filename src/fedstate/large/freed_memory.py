"""Giving memory that was freed back to the system."""

import ctypes
from functools import cache
from typing import Any


def give_back_freed_memory() -> None:
    """Give back what this process has freed, where the C library can be told to.

    glibc keeps what a thread has freed for that thread, up to 64 MiB for each. Where threads take
    in large messages that may be some hundred MiB, which nobody will use before the next ones.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    """Return glibc's `malloc_trim`; None with another C library."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
