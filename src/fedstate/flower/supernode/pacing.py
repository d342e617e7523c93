"""How often to ask the SuperLink for messages: quickly while work is under way, else seldom."""

import random
import threading

_GROWTH = 1.5
_JITTER = 0.2


class Pacing:
    """The pauses between two polls, growing from the shortest to the longest.

    Parameters
    ----------
    shortest, longest : float
        Seconds. The pauses are jittered, so that the nodes of a federation do not poll in step.
    """

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = min(shortest, longest)
        self._longest = longest
        self._pause = self._shortest
        self._woken = threading.Event()

    def hurry(self) -> None:
        """Poll again at once, and quickly from then on: something has happened."""
        self._pause = self._shortest
        self._woken.set()

    def wait(self) -> None:
        """Wait before the next poll."""
        jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
        if self._woken.wait(self._pause * jitter):
            self._woken.clear()
        else:
            self._pause = min(self._pause * _GROWTH, self._longest)
