"""A thread that waits for tasks at the server, and wakes the executor's loop."""

import os
import threading
from collections.abc import Callable

import httpx
from flwr.proto.node_pb2 import Node
from flwr.supercore.runtime import RuntimeHttpClient

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes

_WAIT_SECONDS = 10.0
# After a failure; the loop itself looks for tasks meanwhile, and reports what is wrong.
_RETRY_SECONDS = 1.0


class TaskWatch:
    """Waits for tasks for as long as the server can tell when there is one.

    Parameters
    ----------
    client : RuntimeHttpClient
        The executor's client.
    task_ids : callable
        Returns the tasks under way, which the server is told.
    """

    def __init__(self, client: RuntimeHttpClient, task_ids: Callable[[], list[int]]) -> None:
        self._routes = ExtraRoutes(client)
        self._task_ids = task_ids
        self._looked = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ended = threading.Event()
        self.working = False
        threading.Thread(target=self._watch, name="task watch", daemon=True).start()

    def fileno(self) -> int:
        """Return the descriptor that is readable when there may be a task."""
        return self._wake

    def woken(self) -> bool:
        """Return whether there may be a task since this was last asked."""
        try:
            return os.eventfd_read(self._wake) > 0
        except BlockingIOError:
            return False

    def go_on(self) -> None:
        """Take note that there was no task left to take."""
        self._looked.set()

    def end(self) -> None:
        """Wait no longer."""
        self._ended.set()
        self._looked.set()

    def _watch(self) -> None:
        seen = 0
        while not self._ended.is_set():
            try:
                count = self._routes.wait(
                    paths.TASKS_WAIT,
                    Node(),
                    seen,
                    _WAIT_SECONDS,
                    method=paths.ACQUIRE_TASK,
                    task_ids=self._task_ids(),
                )
            except (httpx.HTTPError, ValueError):
                self.working, seen = False, 0
                self._ended.wait(_RETRY_SECONDS)
                continue
            if count is None:
                return  # a server of flwr's own
            self.working = True
            if count != seen:
                seen = count
                self._looked.clear()
                os.eventfd_write(self._wake, 1)
                # The next request names the tasks that this one has brought.
                self._looked.wait(_WAIT_SECONDS)
