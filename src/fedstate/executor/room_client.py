"""One run's room as the executor sees it: its process, what lives in it, and the end of that."""

import os
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from fedstate.executor import bare_room
from fedstate.executor import room as room_process
from fedstate.executor.import_report import ImportReport
from fedstate.executor.output import Output
from fedstate.executor.plan import RoomPlan
from fedstate.executor.printed import Printed
from fedstate.executor.warmth import Warmth
from fedstate.flower.task_order import TaskOrder
from fedstate.forking.channel import Channel
from fedstate.forking.supervisor import ForkClient, ForkedChild, ForkServer, parent_of
from fedstate.logs import logger
from fedstate.process_table import Process, living
from fedstate.waiting import wait_until
from fedstate.walls import processes

_CLEAR_SECONDS = 2.0
# How long a room may take over imports: on a busy machine, far longer than its task has taken.
_IMPORT_SECONDS = 60.0
_IMPORT_FACTOR = 10.0
_REAP_SECONDS = 0.5
_TICKS = os.sysconf("SC_CLK_TCK")


def ticks() -> int:
    """Return the time as the kernel notes it for each process that starts."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)


class RoomClient(ForkClient):
    """The process of a room, as its executor sees it.

    Parameters
    ----------
    server
        The fork server of which it is a fork.
    plan
        What it is to be.
    entry
        The module whose ``run`` each task's process calls.
    bare
        Whether it is an interpreter in which nothing is preloaded.
    """

    def __init__(
        self, server: ForkServer, plan: RoomPlan, entry: str, *, bare: bool = False
    ) -> None:
        super().__init__(server.fork((bare_room if bare else room_process).__name__))
        self.server = server
        self.child: ForkedChild | None = None
        # What it has been asked to import, until it has said what came of that.
        self.importing: ImportReport | None = None
        self._asked = 0.0
        self.left: tuple[str, ...] = ()
        self.fit = True
        # What a process of it takes that shares all it has with the fork server, in bytes.
        self.baseline = 0
        self._entry = entry
        self.channel.send({"room": plan.to_json()})

    def fork(self, entry: str | None = None) -> Channel:
        """Ask for the process of a task; return the channel to it."""
        return super().fork(entry or self._entry)

    def import_modules(self, report: ImportReport) -> None:
        """Have it import what its further tasks then find imported."""
        self.importing = report
        self._asked = time.monotonic()
        self.channel.send({"import": report.to_json()})

    def bring_certificate(self, certificate: str) -> None:
        """Have it take in the server's certificate authority, which has changed."""
        self.channel.send({"certificate": certificate})

    @property
    def busy(self) -> bool:
        """Whether it neither forks nor says how forks ended, and may: it imports."""
        if self.importing is None:
            return False
        patience = _IMPORT_SECONDS + _IMPORT_FACTOR * self.importing.seconds
        return time.monotonic() - self._asked < patience

    def take(self, message: dict[str, Any]) -> None:
        """Take in one message."""
        match message["event"]:
            case "started" if self.child is None:
                self.child = ForkedChild(self.server, int(message["pid"]), self._is_fork)
            case "imported" if self.importing is not None:
                self.importing = None
                self.fit = message["fit"] is True
                self.left = tuple(str(name) for name, _ in message["left"])
            case "ready":
                super().take(message)
                self._measure()
            case _:
                super().take(message)

    def has_forked(self, pid: int) -> bool:
        """Return whether a process is one that it has forked.

        Raises
        ------
        MalformedMessageError, ForeignProcessError
            If the process of the room itself is not to be believed.
        """
        if self.child is None:
            self.listen()  # it has spoken before its first fork did
        if self.child is None:
            return False
        parent = parent_of(pid)
        if parent is not None:
            return parent == self.child.pid

        def reaped() -> bool:
            self.listen()
            return self.exited(pid) or not self.alive

        return wait_until(reaped, _REAP_SECONDS, poll_seconds=0.01)

    def _is_fork(self, pid: int) -> bool:
        return self.server.has_forked(pid)

    def _measure(self) -> None:
        if self.child is not None and (found := living(self.child.pid)) is not None:
            self.baseline = processes.private_memory([found])


@dataclass(eq=False)
class Room:
    """One run's room.

    Attributes
    ----------
    run_id
        The run.
    plan
        What it is.
    client
        Its process; None where each task's process is started by itself.
    used
        When a task of it ended last.
    ended
        Whether the run has ended on this node.
    spoilt
        Whether it has to be made anew: the run has exceeded a limit.
    output
        What its programs print.
    printed
        What becomes of that.
    warmth
        What its process imports for the run's tasks.
    """

    run_id: int
    plan: RoomPlan
    client: RoomClient | None = None
    used: float = 0.0
    ended: bool = False
    spoilt: bool = False
    output: Output | None = None
    printed: Printed | None = None
    warmth: Warmth = field(default_factory=Warmth)

    def order(self, order: TaskOrder) -> TaskOrder:
        """Return the order as the process of a task in this room needs it."""
        given = self.plan.order(order)
        # What is not for the executor's log is for the run's file.
        keeps = self.printed is not None and self.printed.has_file
        return replace(given, suppress_output=False) if keeps else given

    @property
    def user(self) -> int | None:
        """The run's own user, if it has one."""
        return None if self.plan.walls is None else self.plan.walls.user

    def sample(self, tasks: Collection[int]) -> list[Process]:
        """Return what `processes` does, at a fraction of its cost; it may miss one."""
        if (room := self.pid) is not None:
            return processes.offspring(room)
        found = [process for pid in tasks if (process := living(pid)) is not None]
        return [*found, *(each for pid in tasks for each in processes.offspring(pid))]

    def processes(self, tasks: Collection[int] = ()) -> list[Process]:
        """Return the processes of the run that live, but for that of the room itself.

        Parameters
        ----------
        tasks
            The processes of its tasks, for a room without a process.
        """
        table = processes.all_processes()
        if (room := self.pid) is not None:
            return processes.descendants(room, table)
        found = [table[pid] for pid in tasks if pid in table]
        for pid in tasks:
            found += processes.descendants(pid, table)
        return found

    @property
    def pid(self) -> int | None:
        """The process of the room, once it is known."""
        known = self.client is not None and self.client.child is not None
        return self.client.child.pid if known else None  # type: ignore[union-attr]

    def holds(self, pid: int) -> bool:
        """Return whether a process is that of one of its tasks.

        Raises
        ------
        MalformedMessageError, ForeignProcessError
            If the process of the room itself is not to be believed.
        """
        if self.user is not None and processes.user_of(pid) not in (self.user, None):
            return False
        return self.client is not None and self.client.has_forked(pid)

    def clear(self, live: Collection[int], since: int | None) -> bool:
        """Kill what ended tasks have left behind; return whether nothing is left of it.

        Parameters
        ----------
        live
            The processes of the tasks under way; they live on, with what they have started.
        since
            When the first of them was asked for, in ticks: an orphan that started later may be
            one of theirs. None if there is none.
        """
        if (room := self.pid) is not None:
            return processes.kill_all(lambda: _left_behind(room, live, since), _CLEAR_SECONDS)
        if since is not None or self.user is None:
            return True
        return processes.kill_user(self.user, _CLEAR_SECONDS)

    def end_processes(self, tasks: Collection[int]) -> None:
        """Kill what the run has started, but for the process of the room itself."""
        processes.kill_all(lambda: self.processes(tasks), _CLEAR_SECONDS)

    def kill_all(self, client: RoomClient | None) -> None:
        """Kill every process of the run, that of the room included."""
        if client is not None and client.child is not None:
            room = client.child.pid
            if self.user is None:
                # Its children first: afterwards they are somebody else's.
                processes.kill_all(lambda: processes.descendants(room), _CLEAR_SECONDS)
            client.child.kill()
        if client is not None:
            client.channel.close()
        if self.user is not None and not processes.kill_user(self.user):
            logger.error("Processes of run %d cannot be killed.", self.run_id)


def _left_behind(room: int, live: Collection[int], since: int | None) -> list[Process]:
    """Return what lives in a room and is of no task under way."""
    # Asked twice, since one that is about to end can hide another from whoever lists them. To
    # look at all processes of the machine costs many times as much, and is mostly for nothing.
    children = {*processes.children(room), *processes.children(room)}
    if children <= {*live}:
        return []
    table = processes.all_processes()
    found: list[Process] = []
    for process in [each for each in table.values() if each.parent == room]:
        if process.pid in live or (since is not None and process.started >= since):
            continue
        found += [process, *processes.descendants(process.pid, table)]
    return found
