"""What the executor tells the process that watches over it: that it works."""

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from fedstate.forking.channel import Channel
from fedstate.logs import logger
from fedstate.process_table import is_stopped

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

# Shorter than the executor's pauses would be otherwise; see `TaskLoop`.
BEAT_SECONDS = 3.0
_SHORTEST_SECONDS = 1.0
# How long the watching process may be stopped: a person who looks into it has some time.
_STOPPED_SECONDS = 10.0


class Heart:
    """The executor's side of the connection to the process that watches over it.

    Parameters
    ----------
    channel
        The connection; None where nobody watches.
    watch_pid
        The process that watches.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        channel: Channel | None = None,
        watch_pid: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._watch_pid = watch_pid
        self._clock = clock
        self._last = -_SHORTEST_SECONDS
        self._stopped_since: float | None = None
        if channel is not None:
            channel.socket.setblocking(False)
            # A fork of the executor, and with it every app, must not speak for the executor.
            os.register_at_fork(after_in_child=channel.close)

    def beat(self, *, works: bool) -> None:
        """Say that the executor's loop runs, and whether a task would start."""
        now = self._clock()
        if self._channel is None or now - self._last < _SHORTEST_SECONDS:
            return
        self._last = now
        self._channel.send({"event": "beat", "works": works})
        self._see_to_the_watch(now)

    @contextmanager
    def busy(self, seconds: float) -> Iterator[None]:
        """Say that the loop stands still for so long at most: the server is asked something."""
        if self._channel is not None:
            self._channel.send({"event": "busy", "seconds": seconds})
        yield
        if self._channel is not None:
            self._channel.send({"event": "beat", "works": False})

    def during(
        self, call: Callable[_Given, _Result], seconds: float
    ) -> Callable[_Given, _Result]:
        """Return the call, which says each time how long it may take."""

        @functools.wraps(call)
        def patient(*arguments: _Given.args, **named: _Given.kwargs) -> _Result:
            with self.busy(seconds):
                return call(*arguments, **named)

        return patient

    def _see_to_the_watch(self, now: float) -> None:
        if not is_stopped(self._watch_pid):
            self._stopped_since = None
        elif self._stopped_since is None:
            self._stopped_since = now
        elif now - self._stopped_since > _STOPPED_SECONDS:
            logger.warning("The process that watches over the executor is stopped; it goes on.")
            with contextlib.suppress(OSError):
                os.kill(self._watch_pid, signal.SIGCONT)
