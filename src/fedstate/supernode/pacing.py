"""How often to ask the SuperLink for messages: quickly while work is under way, else seldom."""

import threading

from fedstate.pace import QUICKEST, Pace


class Pacing:
    """The pauses between two polls, which end at once when something happens.

    Parameters
    ----------
    longest : float
        Bound on a pause, in seconds.
    """

    def __init__(self, longest: float) -> None:
        self._pace = Pace(min(QUICKEST, longest), longest)
        self._woken = threading.Event()

    def hurry(self) -> None:
        """Poll again at once, and quickly from then on: something has happened."""
        self._pace.activity()
        self._woken.set()

    def wait(self) -> None:
        """Wait before the next poll."""
        if self._woken.wait(self._pace.wait()):
            self._woken.clear()
