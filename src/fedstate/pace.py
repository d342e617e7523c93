"""How long to pause between two polls, at a server that gives no notifications."""

import random
import time
from collections.abc import Callable

QUICKEST = 0.05
SLOWEST = 1.0
_SHARE = 0.15
_JITTER = 0.2


class Pace:
    """Pauses that grow with the time since the last activity.

    A pause is 15% of that time, so that an event is noticed late by less than a fifth of the time
    that it took to come, and a long silence costs few polls. Jitter keeps the processes of one
    federation from polling all at once.

    Parameters
    ----------
    quickest, slowest
        Bounds of a pause, in seconds.
    clock
        Returns the time in seconds.
    """

    def __init__(
        self,
        quickest: float = QUICKEST,
        slowest: float = SLOWEST,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quickest = quickest
        self._slowest = slowest
        self._clock = clock
        self._last_activity = clock()

    def activity(self) -> None:
        """Note that there was activity, so that the next pauses are short."""
        self._last_activity = self._clock()

    def wait(self) -> float:
        """Return how long to pause before the next poll, in seconds."""
        passed = self._clock() - self._last_activity
        even = min(max(self._quickest, _SHARE * passed), self._slowest)
        return even * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
