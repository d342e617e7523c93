"""How long to wait between two polls of something that sends no notifications."""

import random
import time

QUICKEST = 0.05
SLOWEST = 1.0
_SHARE = 0.15
_JITTER = 0.2


class Pace:
    """Waits that grow with the time since something last happened.

    A wait is 15% of the time that has passed since the last activity, so whatever comes is
    noticed late by less than a fifth of the time that it took to come; a long silence costs few
    polls. Jitter keeps the processes of one federation from polling all at once.

    Parameters
    ----------
    quickest, slowest
        Bounds of a wait, in seconds.
    """

    def __init__(self, quickest: float = QUICKEST, slowest: float = SLOWEST) -> None:
        self._quickest = quickest
        self._slowest = slowest
        self._last_activity = time.monotonic()

    def activity(self) -> None:
        """Note that something has happened, so that the next waits are short."""
        self._last_activity = time.monotonic()

    def wait(self) -> float:
        """Return how long to wait before the next poll, in seconds."""
        passed = time.monotonic() - self._last_activity
        even = min(max(self._quickest, _SHARE * passed), self._slowest)
        return even * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
