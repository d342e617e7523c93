"""A task's process without a fork server."""

import subprocess
import sys

from fedstate.forking.channel import Channel
from fedstate.forking.ending import Ending


class SpawnedChild:
    """A process that was started as a program of its own, with nothing preloaded.

    Parameters
    ----------
    entry
        The module that is run as a program, with the descriptor of its end of the channel.
    """

    def __init__(self, entry: str) -> None:
        self.channel, theirs = Channel.pair()
        self._process = subprocess.Popen(
            [*(sys.executable, "-P", "-m", entry), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self.channel.socket.setblocking(False)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def poll(self) -> Ending | None:
        """Return how the process ended; None while it lives."""
        code = self._process.poll()
        return None if code is None else Ending(code)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
