"""The tasks under way: a process for each, which starts warm, within limits and supervised."""

import contextlib
import math
import os
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fedstate.errors import FederationError
from fedstate.executor import worker
from fedstate.executor.failure import report_failure
from fedstate.executor.keeper import RoomKeeper
from fedstate.executor.room_client import ticks
from fedstate.executor.rooms import Rooms
from fedstate.executor.spawned import SpawnedChild
from fedstate.executor.task import Task
from fedstate.executor.usage import SAMPLE_SECONDS
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.forking.channel import Channel
from fedstate.forking.ending import Ending
from fedstate.forking.supervisor import ForkServers
from fedstate.logs import logger
from fedstate.waiting import wait_until

# Between being asked to end and being killed; within the 10 s that Docker gives a container.
_GRACE_SECONDS = 5.0
_KILL_SECONDS = 2.0
# The same for a task of a run that has ended: nobody waits for what it does, only for its slot.
_OVER_SECONDS = 1.0
# Tasks that only wait take no slot, up to this many times as many as there are slots.
_MOST_WAITING = 8


@dataclass(frozen=True)
class Limits:
    """How much an executor takes on.

    Parameters
    ----------
    concurrent
        Tasks that compute at once; None for as many ClientApps as there are cores, and any
        number of other tasks: a ServerApp mostly waits.
    seconds
        How long a task may take; None for as long as it wants.
    """

    concurrent: int | None = None
    seconds: float | None = None


class HasFileno(Protocol):
    """Something that can be waited for."""

    def fileno(self) -> int:
        """Return its descriptor."""


def fork_servers(modules: Sequence[str]) -> ForkServers:
    """Return the fork server of this executor; only where this is the one thread of Python."""
    return ForkServers(worker.__name__, modules, by_fork=True)


class TaskPool:
    """Runs tasks, each in a process of its own in the room of its run.

    The processes are forks of a preloaded process, or new ones. Everything happens on the
    caller's thread, in `reconcile` and `wait`.

    Parameters
    ----------
    servers
        The fork server; None to start a new process for every task.
    limits
        How much is taken on.
    rooms
        The rooms of the runs; None for no rooms, and no walls.
    entry
        The module that a new process runs.
    report
        Is called with a task whose process ended before it had reported, and with the reason.
    clock
        Seconds that only grow, for the limits.
    """

    def __init__(
        self,
        servers: ForkServers | None,
        limits: Limits,
        *,
        rooms: Rooms | None = None,
        entry: str = worker.__name__,
        report: Callable[[Task, str], None] = report_failure,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._tasks: list[Task] = []
        # Orders of runs whose room imports, or is about to be made anew.
        self._postponed: list[TaskOrder] = []
        self._servers = servers
        self.rooms = rooms
        self._entry = entry
        self._report = report
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._sources: list[HasFileno] = []
        self._closed = False
        self._keeper: RoomKeeper | None = None
        if rooms is not None:
            self._keeper = RoomKeeper(rooms, self._tasks, servers, self._selector, clock)
        if self._servers is not None:
            self._selector.register(self._servers.current.channel, selectors.EVENT_READ)

    @property
    def busy(self) -> bool:
        """Whether a task is under way, or waits for its room."""
        return bool(self._tasks or self._postponed)

    def task_ids(self) -> list[int]:
        """Return the tasks under way; for other threads, too."""
        orders = [*(task.order for task in list(self._tasks)), *self._postponed]
        return [order.task_id for order in orders]

    def run_ids(self) -> list[int]:
        """Return the runs of which this executor keeps something; for other threads, too."""
        return [] if self.rooms is None else self.rooms.run_ids()

    @property
    def ready(self) -> bool:
        """Whether a task would start at once."""
        return self._servers is None or self._servers.current.ready

    @property
    def works(self) -> bool:
        """Whether the fork server has answered lately; without one, always."""
        return self._servers is None or self._servers.work

    def kinds_with_room(self) -> frozenset[TaskKind]:
        """Return the kinds of task of which another one can be launched now."""
        if not self.ready:
            return frozenset()
        # One that has pushed its output only waits for the app's threads.
        tasks = [task for task in self._tasks if not task.finished]
        if self._limits.concurrent is None:
            tasks = [task for task in tasks if task.order.kind == TaskKind.CLIENT_APP]
            full = self._full(tasks, os.cpu_count() or 1)
            return frozenset(TaskKind) - ({TaskKind.CLIENT_APP} if full else set())
        full = self._full(tasks, self._limits.concurrent)
        return frozenset() if full else frozenset(TaskKind)

    def _full(self, tasks: Sequence[Task], slots: int) -> bool:
        computing = sum(not self._waits(task) for task in tasks) + len(self._postponed)
        return computing >= slots or len(tasks) >= _MOST_WAITING * slots

    def _waits(self, task: Task) -> bool:
        return self._keeper is not None and self._keeper.waits(task.room)

    def launch(self, order: TaskOrder) -> None:
        """Start a process for the task, as soon as the room of its run can have one."""
        if self._keeper is not None and self._keeper.defers(order.run_id):
            self._postponed.append(order)
            return
        if self._keeper is not None:
            self._keeper.renew(order.run_id)
        self._launch(order)

    def _launch(self, order: TaskOrder, *, again: bool = False) -> None:
        server = None if self._servers is None else self._servers.current
        room, given = None, order
        if self.rooms is not None:
            try:
                room = self.rooms.room_for(order, server)
            except OSError as error:
                self._report(
                    Task(order, Channel.pair()[0], clock=self._clock),
                    f"The room of the run cannot be made: {error}.",
                )
                return
            given = room.order(order)
            if room.printed is not None:
                room.printed.begin(order.task_id)
            if self._keeper is not None:
                self._keeper.watch()
        first: dict[str, object] = {"task": given.to_json()}
        if server is None:
            child = SpawnedChild(self._entry)
            task = Task(order, child.channel, child=child, room=room, clock=self._clock)
            if room is not None:
                first["room"] = room.plan.to_json()
        else:
            origin = server if room is None or room.client is None else room.client
            # Before it is: what has started earlier counts as left behind by another task.
            asked = ticks()
            task = Task(
                *(order, origin.fork(), origin, room),
                asked=asked,
                relaunched=again,
                clock=self._clock,
            )
        self._tasks.append(task)
        # Straight to the child: the token is on no command line, in no environment and not in
        # the fork server, of which every later task is a copy.
        task.channel.send(first)
        self._selector.register(task.channel, selectors.EVENT_READ)

    def works_for(self, run_id: int) -> bool:
        """Whether a task of this run is under way."""
        orders = [*(task.order for task in self._tasks), *self._postponed]
        return any(order.run_id == run_id for order in orders)

    def stop_task(self, task_id: int, reason: str) -> None:
        """Stop a task that is over at its server, within 2 s; no report of it is expected.

        A task that is not under way here is ignored.
        """
        self._postponed = [order for order in self._postponed if order.task_id != task_id]
        for task in self._tasks:
            if task.order.task_id == task_id:
                task.stop(reason, _OVER_SECONDS, over=True)

    def close_room(self, run_id: int, reason: str = "The run has ended.") -> None:
        """End the tasks of a run that has ended, within 2 s, and delete what it has here."""
        self._postponed = [order for order in self._postponed if order.run_id != run_id]
        for task in self._tasks_of(run_id):
            self.stop_task(task.order.task_id, reason)
        if self.rooms is not None and (room := self.rooms.all.get(run_id)) is not None:
            room.ended = True
            if self._keeper is not None:
                self._keeper.tidy(room)
        elif self.rooms is not None:
            self.rooms.end_output(run_id)

    def _tasks_of(self, run_id: int) -> list[Task]:
        return [task for task in self._tasks if task.order.run_id == run_id]

    def wake_on(self, source: HasFileno) -> None:
        """Let `wait` return when something can be read from the source, too."""
        self._sources.append(source)
        self._selector.register(source, selectors.EVENT_READ)

    def wait(self, seconds: float) -> bool:
        """Wait until a process sends something or ends; return False if none did in time."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            sampling = self._keeper is not None and self.busy
            longest = min(left, SAMPLE_SECONDS) if sampling else left
            due = min((task.kill_due_in for task in self._tasks), default=math.inf)
            if self._selector.select(max(0.0, min(longest, due))):
                return True
            if self._keeper is not None and self._keeper.enforce_limits():
                return True
            if due <= 0 or time.monotonic() >= deadline:
                return False

    def reconcile(self) -> None:
        """Take in what the processes have sent; deal with those that ended or take too long.

        Raises
        ------
        FederationError
            If the fork server cannot do its work.
        """
        self._supervise_server()
        if self._keeper is not None:
            self._keeper.supervise()
        for task in list(self._tasks):
            if not task.channel.ended:
                task.listen()
                if task.channel.ended:
                    self._selector.unregister(task.channel)
                if task.violation is not None:
                    self._end_at_once(
                        task, f"The process of the task sent {task.violation}, and was ended."
                    )
            if self._keeper is not None:
                self._keeper.learn(task)
            ending = task.ended()
            if ending is not None:
                self._end(task, ending)
            elif task.exceeds(self._limits.seconds):
                task.stop(
                    f"The task exceeded its time limit of {self._limits.seconds:g} s "
                    "(--task-time-limit).",
                    _GRACE_SECONDS,
                )
            elif self._keeper is not None and task.stuck():
                self._keeper.restart(task.room)  # the app may have stopped it
            task.kill_when_due()
        if self._keeper is not None:
            self._keeper.pass_on_output()
            self._keeper.enforce_limits()
        postponed, self._postponed = self._postponed, []
        for order in postponed:
            self.launch(order)

    def _end_at_once(self, task: Task, reason: str) -> None:
        if self._keeper is not None:
            self._keeper.end_at_once(task, reason)
        task.end(reason)

    def _supervise_server(self) -> None:
        if self._servers is None:
            return
        before = self._servers.current
        was_ready = before.ready
        how = self._servers.supervise()
        if how is not None:
            logger.warning("The fork server %s; another takes its place.", how)
            self._selector.unregister(before.channel)
            self._selector.register(self._servers.current.channel, selectors.EVENT_READ)
        elif before.ready and not was_ready:
            logger.info("Ready: tasks start in forks of a preloaded process.")

    def _end(self, task: Task, ending: Ending) -> None:
        with task.labelled():
            self._end_labelled(task, ending)

    def _end_labelled(self, task: Task, ending: Ending) -> None:
        self._tasks.remove(task)
        if not task.channel.ended:
            # What it said last may have come after the last look.
            task.listen()
            self._selector.unregister(task.channel)
        task.channel.close()
        if self._keeper is not None:
            self._keeper.tidy(task.room)
        never_began = task.pid is None and task.stop_reason is None
        if never_began and not task.relaunched:
            self._launch(task.order, again=True)
        elif task.over:
            logger.info("Task %d ended: %s", task.order.task_id, task.stop_reason)
        elif not task.reported():
            self._report(task, task.why(ending))

    def close(self) -> None:
        """Stop the tasks under way, in order, and then the fork server. Twice is as once."""
        if self._closed:
            return
        self._closed = True
        stopped = "The executor of the task was stopped."
        for source in self._sources:
            self._selector.unregister(source)  # nobody reads from it any longer
        for task in self._tasks:
            task.stop(stopped, _GRACE_SECONDS)
        with contextlib.suppress(FederationError):
            wait_until(
                self._all_ended, _GRACE_SECONDS + _KILL_SECONDS, poll_seconds=0.1, sleep=self.wait
            )
        for task in self._tasks:
            if not task.reported():
                self._report(task, stopped)
        for order in self._postponed:
            self._report(Task(order, Channel.pair()[0], clock=self._clock), stopped)
        if self._keeper is not None:
            self._keeper.close()
        if self._servers is not None:
            self._servers.current.close()
        self._selector.close()

    def _all_ended(self) -> bool:
        self.reconcile()
        return not self._tasks
