"""Sizes, times and series as people read them; JSON and CSV have the exact numbers."""

import math
import re
from collections.abc import Sequence
from datetime import datetime

from fedstate.sizes import human_size, three_digits

__all__ = [
    "human_ago",
    "human_reason",
    "human_seconds",
    "human_size",
    "human_time",
    "sparkline",
]

_BARS = "▁▂▃▄▅▆▇█"
_NO_NUMBER = "!"
SPARKS = 24
# How Flower writes the exception of an app as the reason of an error.
_EXCEPTION = re.compile(r"<class '(?:[\w<>]+\.)*(\w+)'>:<'(.*)'>", re.DOTALL)

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def human_time(seconds: float | None) -> str:
    """Return a Unix time as the date and time of here, such as ``2026-11-26 18:04:03``."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def human_ago(seconds: float | None, now: float) -> str:
    """Return a Unix time as the date and time of here, and for a day how long that is ago."""
    if seconds is None:
        return ""
    ago = now - seconds
    if not 0 <= ago < _DAY:
        return human_time(seconds)
    return f"{human_time(seconds)} ({human_seconds(max(1, round(ago)))} ago)"


def human_seconds(seconds: float | None) -> str:
    """Return how long something took, such as ``12 ms``, ``3.2 s`` or ``2 h 5 min``."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < _MINUTE:
        return f"{three_digits(seconds)} s"
    if seconds < _HOUR:
        minutes, rest = divmod(round(seconds), _MINUTE)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    if seconds < _DAY:
        hours, rest = divmod(round(seconds / _MINUTE), _MINUTE)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{seconds / _DAY:.1f} days"


def human_reason(reason: str | None) -> str:
    """Return why a step has failed: of an exception as a traceback ends, ``ValueError: ...``."""
    found = _EXCEPTION.fullmatch(reason or "")
    return f"{found[1]}: {found[2]}" if found else reason or ""


def sparkline(values: Sequence[float], width: int = SPARKS) -> str:
    """Return the end of a series as bars, one for each value; what is not finite is ``!``."""
    shown = list(values)[-width:]
    finite = [value for value in shown if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)

    def bar(value: float) -> str:
        if not math.isfinite(value):
            return _NO_NUMBER
        # Halved first: the difference of the largest numbers would be infinite.
        part = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5
        return _BARS[min(int(part * len(_BARS)), len(_BARS) - 1)]

    return "".join(map(bar, shown))
