"""Looking after the rooms of the tasks under way: their processes, their limits, their end."""

import selectors
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from fedstate.executor.room_client import Room
from fedstate.executor.rooms import Rooms
from fedstate.executor.task import Task
from fedstate.executor.usage import Usage
from fedstate.flower.task_order import TaskKind
from fedstate.forking.supervisor import ForkServers
from fedstate.logs import labelled, logger


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


class RoomKeeper:
    """Looks after rooms, and ends the tasks of those that cannot go on.

    Parameters
    ----------
    rooms
        The rooms.
    tasks
        The tasks under way, which somebody else adds and removes.
    servers
        The fork server of which the rooms' processes are forks; None for rooms without.
    selector
        What waits for the rooms' processes.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        rooms: Rooms,
        tasks: Sequence[Task],
        servers: ForkServers | None,
        selector: selectors.BaseSelector,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rooms = rooms
        self._tasks = tasks
        self._servers = servers
        self._selector = selector
        self._clock = clock
        self._usage = Usage(clock)
        self._watched: set[_HasFileno] = set()

    def waits(self, room: Room | None) -> bool:
        """Return whether the tasks of a room have not computed for a while, but waited."""
        return self._usage.waits(room)

    def supervise(self) -> None:
        """Take in what the rooms' processes have said; close rooms that are not used any more."""
        for room in list(self._rooms.all.values()):
            self._rooms.listen(room)
            if room.output is not None:
                room.output.read()
            client = room.client
            hangs = client is not None and client.importing is not None and not client.busy
            if client is not None and (hangs or not client.alive):
                self.restart(room)
            self._warm(room)
        for room in self._rooms.idle([task.room for task in self._tasks if task.room]):
            self._rooms.close(room)
        self._rooms.tidy()
        self._rooms.follow_authority(self._tasks)
        self.watch()

    def defers(self, run_id: int) -> bool:
        """Return whether the next task of a run has to wait for what becomes of its room.

        The room's process imports, and may turn out to be unfit for forks; or it is, or its last
        tasks have pushed their outputs, and another takes its place once they have ended.
        """
        room = self._rooms.all.get(run_id)
        if room is None or room.client is None or self._servers is None:
            return False
        if room.client.importing is not None or not room.client.fit:
            return True
        tasks = [task for task in self._tasks if task.room is room]
        return room.warmth.stale and bool(tasks) and all(task.finished for task in tasks)

    def renew(self, run_id: int) -> None:
        """Make the process of a run's room anew, if it has to be and no task is under way."""
        room = self._rooms.all.get(run_id)
        if room is None or not room.warmth.stale or self._servers is None or room.client is None:
            return
        if not any(task.room is room for task in self._tasks):
            client, room.client = room.client, None
            self._rooms.end_client(room, client)
            self._rooms.begin(room, self._servers.current)
            self.watch()

    def pass_on_output(self) -> None:
        """Pass on what was read of the runs' output, when the tasks have said what it is about.

        A task says so before its app prints a line of it.
        """
        for room in self._rooms.all.values():
            if room.output is not None:
                room.output.pass_on()

    def learn(self, task: Task) -> None:
        """Take in what a task says of its app's imports, for the next tasks of the run."""
        if task.room is not None:
            if task.room.printed is not None:
                task.room.printed.label(task.order.task_id, task.labels)
            for report in task.reports[task.learnt :]:
                task.room.warmth.learn(task.order.run_id, report)
            # A ServerApp is one task: there is no next one for which another room would pay.
            for reason, cold in task.bare if task.order.kind == TaskKind.CLIENT_APP else ():
                task.room.warmth.go_bare(task.order.run_id, reason, cold=cold)
            task.learnt = len(task.reports)
            task.bare.clear()

    def _warm(self, room: Room) -> None:
        """Have the process of a room import what its tasks need, or put another in its place."""
        client = room.client
        if client is None or not client.ready:
            return
        tasks = [task for task in self._tasks if task.room is room]
        if not client.fit and client.left:
            room.warmth.unfit(client.left)
            client.left = ()
        if room.warmth.stale:
            self.renew(room.run_id)
            return
        # A task that is asked for meanwhile waits, but begins later as warm as the others.
        idle = client.importing is None and all(task.pid is not None for task in tasks)
        if idle and (report := room.warmth.wanted()) is not None:
            client.import_modules(report)

    def restart(self, room: Room | None) -> None:
        """End what is left of a room whose process has ended, or has to; it is made anew."""
        if room is None or room.client is None:
            return
        client, room.client = room.client, None
        if client.importing is not None:
            room.warmth.broke(room.run_id)
        why = client.failure or "The process of the run's room ended, and all that was in it."
        with labelled(run=room.run_id):
            logger.warning("Run %d: %s", room.run_id, why)
        for task in self._tasks:
            if task.room is room and task.pid is not None:
                task.end(why)
            elif task.room is room:
                task.room_failure = client.failure
        self._rooms.end_client(room, client)
        self.watch()

    def watch(self) -> None:
        """Let what the rooms' processes say end a wait."""
        rooms = self._rooms.all.values()
        there: set[_HasFileno] = {room.output for room in rooms if room.output is not None}
        there |= {
            room.client.channel for room in rooms if room.client is not None and room.client.alive
        }
        for channel in self._watched - there:
            self._selector.unregister(channel)
        for channel in there - self._watched:
            self._selector.register(channel, selectors.EVENT_READ)
        self._watched = there

    def enforce_limits(self) -> bool:
        """Look at what the runs take, if it is time to; return whether one takes too much."""
        if not self._usage.due:
            return False
        rooms: dict[Room, list[int]] = {}
        for task in self._tasks:
            if task.room is not None:
                pids = rooms.setdefault(task.room, [])
                pids += [] if task.pid is None else [task.pid]
        passed = self._usage.sample(rooms)
        for room, sentence in passed.items():
            for task in self._tasks:
                if task.room is room:
                    self.end_at_once(task, sentence)
            room.end_processes(rooms[room])
            room.spoilt = True
        return bool(passed)

    def end_at_once(self, task: Task, reason: str) -> None:
        """Kill the process of a task."""
        if task.pid is None:
            self.restart(task.room)  # the only way to end a process that nobody knows
        task.end(reason)

    def tidy(self, room: Room | None) -> None:
        """Kill what an ended task has left behind; close a room that nobody needs any longer."""
        if room is None:
            return
        tasks = [task for task in self._tasks if task.room is room]
        room.used = self._clock()
        if (room.ended or room.spoilt) and not tasks:
            self._rooms.close(room)
            self.watch()
            return
        if room.output is not None:
            room.output.end_line()
        live = [task.pid for task in tasks if task.pid is not None]
        since = min((task.asked for task in tasks), default=None)
        if not room.clear(live, since) and not tasks:
            self.restart(room)

    def close(self) -> None:
        """Close every room."""
        self._usage.close()
        self._rooms.close_all()
        self.watch()
