"""For how long a fork server has not answered."""

import time
from typing import Protocol

from fedstate.process_table import is_stopped

PING_SECONDS = 2.0


class Asked(Protocol):
    """A fork server, as far as it answers; `ForkServer` is one."""

    ready: bool
    answered: int

    @property
    def pid(self) -> int:
        """Its process."""

    def ping(self) -> int:
        """Ask whether it is there; return the number that `answered` gets."""


class Silence:
    """For how long a fork server has not answered; while it imports, has been stopped.

    Attributes
    ----------
    seconds
        That, when it was last looked at.
    """

    def __init__(self, server: Asked) -> None:
        self.seconds = 0.0
        self._server = server
        self._asked = 0
        self._since = self._next = time.monotonic()

    def look(self) -> None:
        """Ask the server whether it is there, every few seconds, and see whether it was."""
        now = time.monotonic()
        server = self._server
        if server.answered < self._asked if server.ready else is_stopped(server.pid):
            self.seconds = now - self._since
            return
        self.seconds, self._since = 0.0, now
        if server.ready and now >= self._next:
            self._asked, self._next = server.ping(), now + PING_SECONDS
