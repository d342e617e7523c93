"""A thread that waits for the server's notifications of tasks, and wakes the executor's loop.

In the same requests the server says which tasks are not under way any longer, though their
processes have not said so, and which runs have ended.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from fedstate.exchange.client import Waited
from fedstate.flower.tasks import TaskServerError

# A server answers at once when there is something to say; a proxy may cut off after a minute.
_WAIT_SECONDS = 50.0
# After a failure; the loop itself polls for tasks meanwhile, and reports what is wrong.
_RETRY_SECONDS = 1.0
_ALL_BYTES = 4096
_TASK, _END = b"t", b"e"


class Notifier(Protocol):
    """The server, as far as it notifies of tasks; `TaskSource` is one."""

    def wait(
        self,
        seen: int,
        seconds: float,
        task_ids: Sequence[int],
        *,
        run_ids: Sequence[int],
        ends: int,
    ) -> Waited | None:
        """Wait until there is a task or something has ended; None without notifications."""


class TaskNotifications:
    """Waits for notifications of tasks for as long as the server sends any.

    Only `fileno`, `received`, `ended_tasks`, `ended_runs`, `rearm` and `close` are called by the
    executor's loop; the thread shares with them two events, a pipe, two queues and the flags
    `active` and `complete`: whether there are notifications, and whether there is one for each
    task.

    Parameters
    ----------
    notifier : Notifier
        The server.
    task_ids : callable
        Returns the tasks under way, which the server is told: a task that no executor names any
        longer is lost, and expires.
    run_ids : callable
        Returns the runs of which the executor keeps something.
    retry_seconds : float
        The pause after a request that failed.
    """

    def __init__(
        self,
        notifier: Notifier,
        task_ids: Callable[[], list[int]],
        run_ids: Callable[[], list[int]] = list,
        *,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._notifier = notifier
        self._tasks, self._runs = _Named(task_ids), _Named(run_ids)
        self._retry_seconds = retry_seconds
        self._polled = threading.Event()
        # A pipe, which every system has: an executor that cannot fork still has notifications.
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._wake, False)
        self._closed = threading.Event()
        self.active = self.complete = False
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
            return _TASK in os.read(self._wake, _ALL_BYTES)
        except BlockingIOError:
            return False

    def ended_tasks(self) -> list[int]:
        """Return the tasks that have ended at the server since this was last asked."""
        return self._tasks.ended()

    def ended_runs(self) -> list[int]:
        """Return the runs that have ended since this was last asked."""
        return self._runs.ended()

    def rearm(self) -> None:
        """Wait for the next notification: there was no task left to acquire."""
        self._polled.set()

    def close(self) -> None:
        """Wait no longer. A request that is under way ends by itself."""
        self._closed.set()
        self._polled.set()

    def _watch(self) -> None:
        seen, ends = 0, 0
        while not self._closed.is_set():
            try:
                waited = self._notifier.wait(
                    seen,
                    _WAIT_SECONDS,
                    self._tasks.named(),
                    run_ids=self._runs.named(),
                    ends=ends,
                )
            except RuntimeError:
                if self._closed.is_set():
                    return  # and the client with it
                raise
            except TaskServerError:
                self.active, self.complete, seen, ends = False, False, 0, 0
                self._closed.wait(self._retry_seconds)
                continue
            if waited is None:
                return  # a server of flwr's own
            self.active, self.complete, ends = True, waited.tells_all_tasks, waited.ends
            if waited.ended_tasks or waited.ended_runs:
                self._tasks.add_ended(waited.ended_tasks)
                self._runs.add_ended(waited.ended_runs)
                os.write(self._waker, _END)
            if waited.count != seen:
                seen = waited.count
                self._polled.clear()
                if self._closed.is_set():
                    return  # `close` may have set the event that has just been cleared
                os.write(self._waker, _TASK)
                # The next request names the tasks that this one has brought.
                self._polled.wait(_WAIT_SECONDS)


class _Named:
    """What the server is asked about: not again of what it has said that it has ended.

    `ended` is called by the executor's loop, everything else by the thread.
    """

    def __init__(self, ids: Callable[[], list[int]]) -> None:
        self._ids = ids
        self._told: set[int] = set()
        self._ended: deque[int] = deque()

    def named(self) -> list[int]:
        ids = self._ids()
        self._told &= set(ids)
        return [each for each in ids if each not in self._told]

    def add_ended(self, ids: Sequence[int]) -> None:
        self._told |= set(ids)
        self._ended.extend(ids)

    def ended(self) -> list[int]:
        return [self._ended.popleft() for _ in range(len(self._ended))]
