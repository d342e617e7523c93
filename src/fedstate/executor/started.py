"""A task's process without a fork server."""

import subprocess
import sys

from fedstate.executor import worker
from fedstate.forking.channel import Channel
from fedstate.forking.ending import Ending


class StartedChild:
    """A child that was started as a program of its own, with nothing preloaded."""

    def __init__(self) -> None:
        self.channel, theirs = Channel.pair()
        self._process = subprocess.Popen(
            [*(sys.executable, "-P", "-m", worker.__name__), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self.channel.socket.setblocking(False)

    def poll(self) -> Ending | None:
        """Return how the process ended; None while it lives."""
        code = self._process.poll()
        return None if code is None else Ending(code)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
