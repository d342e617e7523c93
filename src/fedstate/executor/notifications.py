"""A thread that waits for the server's notifications of tasks, and wakes the executor's loop."""

import os
import threading
from collections.abc import Callable
from typing import Protocol

from fedstate.flower.tasks import TaskServerError

_WAIT_SECONDS = 10.0
# After a failure; the loop itself polls for tasks meanwhile, and reports what is wrong.
_RETRY_SECONDS = 1.0
_ALL_BYTES = 4096


class Notifier(Protocol):
    """The server, as far as it notifies of tasks; `TaskSource` is one."""

    def wait(self, seen: int, seconds: float, task_ids: list[int]) -> int | None:
        """Wait until the count of notifications is not `seen`; None if there are none."""


class TaskNotifications:
    """Waits for notifications of tasks for as long as the server sends any.

    Only `fileno`, `received`, `rearm` and `close` are called by the executor's loop; the thread
    shares with them two events, a pipe and the flag `active`.

    Parameters
    ----------
    notifier : Notifier
        The server.
    task_ids : callable
        Returns the tasks under way, which the server is told: a task that no executor names any
        longer is lost, and expires.
    retry_seconds : float
        The pause after a request that failed.
    """

    def __init__(
        self,
        notifier: Notifier,
        task_ids: Callable[[], list[int]],
        *,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._notifier = notifier
        self._task_ids = task_ids
        self._retry_seconds = retry_seconds
        self._polled = threading.Event()
        # A pipe, which every system has: an executor that cannot fork still has notifications.
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._wake, False)
        self._closed = threading.Event()
        self.active = False
        self._thread = threading.Thread(
            target=self._watch, name="task notifications", daemon=True
        )
        self._thread.start()

    def fileno(self) -> int:
        """Return the descriptor that is readable when there may be a task."""
        return self._wake

    def received(self) -> bool:
        """Return whether there may be a task since this was last asked."""
        try:
            return bool(os.read(self._wake, _ALL_BYTES))
        except BlockingIOError:
            return False

    def rearm(self) -> None:
        """Wait for the next notification: there was no task left to acquire."""
        self._polled.set()

    def close(self) -> None:
        """Wait no longer. A request that is under way ends by itself."""
        self._closed.set()
        self._polled.set()

    def _watch(self) -> None:
        seen = 0
        while not self._closed.is_set():
            try:
                count = self._notifier.wait(seen, _WAIT_SECONDS, self._task_ids())
            except TaskServerError:
                self.active, seen = False, 0
                self._closed.wait(self._retry_seconds)
                continue
            if count is None:
                return  # a server of flwr's own
            self.active = True
            if count != seen:
                seen = count
                self._polled.clear()
                if self._closed.is_set():
                    return  # `close` may have set the event that has just been cleared
                os.write(self._waker, b"1")
                # The next request names the tasks that this one has brought.
                self._polled.wait(_WAIT_SECONDS)
