"""flwr's `Executor`, with a process per task that starts warm, and under supervision."""

import contextlib
import os
import selectors
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from flwr.supercore.constant import TaskType
from flwr.supercore.superexec.executor.types import ExecutionSpec, LaunchResult

from fedstate.errors import FederationError
from fedstate.executor import worker
from fedstate.executor.failure import give_up
from fedstate.executor.started import StartedChild
from fedstate.executor.task import Task
from fedstate.forking.ending import Ending
from fedstate.forking.supervisor import ForkServers
from fedstate.logs import logger

# Between being asked to end and being killed; within the 10 s that Docker gives a container.
_GRACE_SECONDS = 5.0
_KILL_SECONDS = 2.0


@dataclass(frozen=True)
class Limits:
    """How much an executor takes on.

    Parameters
    ----------
    concurrent
        Tasks at once; None for as many ClientApps as there are cores, and any number of other
        tasks: a ServerApp mostly waits.
    seconds
        How long a task may take; None for as long as it wants.
    """

    concurrent: int | None = None
    seconds: float | None = None


class HasFileno(Protocol):
    """Something that can be waited for."""

    def fileno(self) -> int:
        """Return its descriptor."""


class WarmExecutor:
    """Launches tasks in forks of a preloaded process, or in new processes.

    Everything happens on the caller's thread, in `reconcile` and `wait`; when it is made, that
    must be the only one, for the fork server is a fork of this process.

    Parameters
    ----------
    modules
        What the fork server preloads; None to start a new process for every task.
    limits
        How much is taken on.
    """

    def __init__(self, modules: Sequence[str] | None, limits: Limits) -> None:
        self._limits = limits
        self._tasks: list[Task] = []
        self._servers = (
            None if modules is None else ForkServers(worker.__name__, modules, by_fork=True)
        )
        self._selector = selectors.DefaultSelector()
        if self._servers is not None:
            self._selector.register(self._servers.current.channel, selectors.EVENT_READ)

    @property
    def busy(self) -> bool:
        """Whether a task is under way."""
        return bool(self._tasks)

    def task_ids(self) -> list[int]:
        """Return the tasks under way; for other threads, too."""
        return [task.spec.task_id for task in list(self._tasks)]

    @property
    def ready(self) -> bool:
        """Whether a task would start at once."""
        return self._servers is None or self._servers.current.ready

    def get_eligible_capacity(
        self,
        supported_task_types: set[TaskType],
        *,
        insecure: bool = False,
        root_certificates_path: str | None = None,
    ) -> tuple[set[TaskType], set[str]]:
        """Return the types of task that can be taken on now, for flwr's `Executor`."""
        del insecure, root_certificates_path
        if not self.ready:
            return set(), set()
        if self._limits.concurrent is None:
            computing = [t for t in self._tasks if t.spec.task_type == TaskType.CLIENT_APP]
            full = len(computing) >= (os.cpu_count() or 1)
            return supported_task_types - ({TaskType.CLIENT_APP} if full else set()), set()
        full = len(self._tasks) >= self._limits.concurrent
        return set() if full else supported_task_types, set()

    def wait_for_capacity(
        self,
        task_type: TaskType | None = None,
        *,
        fab_hash: str | None = None,
        insecure: bool = False,
        root_certificates_path: str | None = None,
    ) -> None:
        """Return at once, for flwr's `Executor`: capacity is asked for before each task."""
        del task_type, fab_hash, insecure, root_certificates_path

    def launch(self, spec: ExecutionSpec) -> LaunchResult:
        """Start a process for the task."""
        self._launch(spec)
        return LaunchResult.accepted()

    def _launch(self, spec: ExecutionSpec, *, again: bool = False) -> None:
        if self._servers is None:
            child = StartedChild()
            task = Task(spec, child.channel, server=None, child=child)
        else:
            server = self._servers.current
            task = Task(spec, server.fork(), server, again=again)
        self._tasks.append(task)
        # Straight to the child: the token is on no command line, in no environment and not in
        # the fork server, of which every later task is a copy.
        task.channel.send({"task": asdict(spec)})
        self._selector.register(task.channel, selectors.EVENT_READ)

    def wake_on(self, source: HasFileno) -> None:
        """Let `wait` return when something can be read from the source, too."""
        self._selector.register(source, selectors.EVENT_READ)

    def wait(self, seconds: float) -> bool:
        """Wait until a process says something or ends; return False if none did in time."""
        return bool(self._selector.select(seconds))

    def reconcile(self) -> None:
        """Hear the processes, and deal with those that have ended or take too long.

        Raises
        ------
        FederationError
            If the fork server cannot do its work.
        """
        self._supervise_server()
        for task in list(self._tasks):
            if not task.channel.ended:
                task.listen()
                if task.channel.ended:
                    self._selector.unregister(task.channel)
            ending = task.ended()
            if ending is not None:
                self._end(task, ending)
            elif self._overdue(task):
                limit = f"The task exceeded its time limit of {self._limits.seconds:g} s."
                task.stop(limit, _GRACE_SECONDS)
            task.kill_when_due()

    def _overdue(self, task: Task) -> bool:
        limit = self._limits.seconds
        return limit is not None and time.monotonic() - task.began > limit

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
        self._tasks.remove(task)
        if not task.channel.ended:
            self._selector.unregister(task.channel)
        task.channel.close()
        if task.child is None and not task.again:
            self._launch(task.spec, again=True)
        elif not task.reported(ending):
            give_up(task, task.stopping or f"The process of the task {ending}.")

    def close(self) -> None:
        """Stop the tasks under way, in order, and then the fork server."""
        for task in self._tasks:
            task.stop("The executor of the task was stopped.", _GRACE_SECONDS)
        deadline = time.monotonic() + _GRACE_SECONDS + _KILL_SECONDS
        with contextlib.suppress(FederationError):
            while self._tasks and time.monotonic() < deadline:
                self.wait(0.1)
                self.reconcile()
        for task in self._tasks:
            give_up(task, "The executor of the task was stopped.")
        if self._servers is not None:
            self._servers.current.close()
        self._selector.close()
