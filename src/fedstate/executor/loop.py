"""The executor's loop, in place of flwr's `run_superexec`.

flwr's loop makes its `Executor` itself, and knows two; it also polls for tasks at one fixed
interval, sleeps through what its processes do, and waits for a lost SuperNode inside one request.
"""

import math
import time
from collections.abc import Callable, Collection
from typing import Protocol

from fedstate.executor.heart import BEAT_SECONDS, Heart
from fedstate.executor.notifications import TaskNotifications
from fedstate.executor.pool import TaskPool
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.flower.tasks import TaskServerUnavailableError
from fedstate.logs import logger
from fedstate.pace import Pace

# How often tasks are polled for where the server notifies of them: a SuperLink starts what was
# planned for a certain time when it is polled. One that notifies of every task is polled rarely.
_PRECAUTION_SECONDS = 5.0
_RARELY_SECONDS = 30.0
# How late a task's time limit is noticed.
_TICK_SECONDS = 1.0

# How long the tasks of a run that has ended may take to end; flwr allows its own programs 5 s.
_ENDING_SECONDS = 10.0
# Why a task is stopped that its server counts as over.
ENDED = "The run was stopped or has ended."


class Source(Protocol):
    """Where tasks come from; `TaskSource` is one."""

    def acquire(self, kinds: Collection[TaskKind]) -> TaskOrder | None:
        """Take a task of one of these kinds, or return None if there is none."""


class TaskLoop:
    """Acquires tasks whenever the pool has room for one, and has the pool run them.

    Parameters
    ----------
    source
        Where tasks come from.
    pool
        What runs them.
    notifications
        What says that there may be a task.
    heart
        Is told that this loop goes round; None where nobody wants to know.
    pace
        The pauses between two polls of a server without notifications.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        source: Source,
        pool: TaskPool,
        notifications: TaskNotifications,
        *,
        heart: Heart | None = None,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._pool = pool
        self._notifications = notifications
        self._heart = heart or Heart()
        self._pace = pace or Pace()
        self._clock = clock
        self._connection = _Connection()
        self._kinds: frozenset[TaskKind] = frozenset()
        self._polled = -math.inf
        self._ending: dict[int, float] = {}
        pool.wake_on(notifications)

    def run(self) -> None:
        """Run tasks for ever.

        Raises
        ------
        FederationError
            If the server refuses the executor, or the fork server cannot do its work.
        """
        while True:
            if not self.poll():
                self.wait()

    def poll(self) -> bool:
        """Look after the processes, and start one task if there is a reason to ask for one.

        Returns
        -------
        bool
            Whether one was started: there may be another.

        Raises
        ------
        FederationError
            If the server refuses the executor, or the fork server cannot do its work.
        """
        notified = self._notifications.received()
        # After the pipe was read: what comes later wakes the loop again.
        for task_id in self._notifications.ended_tasks():
            self._pool.stop_task(task_id, ENDED)
        self._pool.reconcile()
        self._close_rooms()
        self._heart.beat(works=self._pool.works)
        kinds = self._pool.kinds_with_room()
        overdue = self._clock() - self._polled > self._precaution
        # Of fewer kinds there is no more than there was.
        more, self._kinds = not kinds <= self._kinds, kinds
        if notified or overdue or more or not self._notifications.active:
            self._polled = self._clock()
            if kinds and (order := self._acquire(kinds)) is not None:
                self._pool.launch(order)
                self._pace.activity()
                self._polled = -math.inf
                return True
        self._notifications.rearm()
        return False

    @property
    def _precaution(self) -> float:
        rarely = self._notifications.complete and not self._connection.is_lost
        return _RARELY_SECONDS if rarely else _PRECAUTION_SECONDS

    def _close_rooms(self) -> None:
        """Close the rooms of runs that have ended, once their tasks have.

        A ServerApp that has reported its end has ended its run, and may still write a file.
        """
        for run_id in self._notifications.ended_runs():
            self._ending[run_id] = self._clock() + _ENDING_SECONDS
        for run_id, deadline in list(self._ending.items()):
            if self._clock() >= deadline or not self._pool.works_for(run_id):
                del self._ending[run_id]
                self._pool.close_room(run_id)

    def wait(self) -> None:
        """Wait until a process or the server has something to say, or it is time to poll."""
        longest = self._pace.wait()
        if self._notifications.active:
            longest = _TICK_SECONDS if self._pool.busy else self._precaution
        if self._pool.wait(min(longest, BEAT_SECONDS)):
            self._pace.activity()

    def _acquire(self, kinds: Collection[TaskKind]) -> TaskOrder | None:
        try:
            order = self._source.acquire(kinds)
        except TaskServerUnavailableError as error:
            self._connection.lost(error)
            return None
        self._connection.made()
        return order


class _Connection:
    """Logs once that the server gives no tasks, and once that it is asked again."""

    def __init__(self) -> None:
        self._said: type[TaskServerUnavailableError] | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the last request has failed."""
        return self._said is not None

    def lost(self, error: TaskServerUnavailableError) -> None:
        """Take note of a failed request."""
        # One that comes back may refuse whom it knew, and that is to be said, too.
        if self._said is not type(error):
            self._said = type(error)
            logger.warning("The server cannot be asked for tasks (%s); trying again.", error)

    def made(self) -> None:
        """Take note of a request that was answered."""
        if self.is_lost:
            self._said = None
            logger.info("The server is reached.")
