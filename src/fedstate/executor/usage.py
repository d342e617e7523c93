"""What the runs take while their tasks are under way, and which limit one of them has passed."""

import os
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from fedstate.executor.room_client import Room
from fedstate.process_table import Process
from fedstate.walls import directories, processes
from fedstate.walls.limits import in_words

SAMPLE_SECONDS = 0.2
# It is not taken again before this many times the processor time that it took, up to so long.
_SAMPLE_PAUSE = 10
_LONGEST_PAUSE_SECONDS = 1.0
# A task that takes less of a processor over this time only waits.
_SHARE_SECONDS = 1.0
_SHARE = 0.05
_WAITING_SECONDS = 2.0
# Measuring files takes time itself: it begins again after this time, and many times what it took.
_FILES_SECONDS = 2.0
_FILES_PAUSE = 10
# It does not wait when the file system has lost so much of a run's limit since the last time.
_FILES_SHARE = 1 / 8


@dataclass
class _Taken:
    """What one room has taken."""

    computed: float
    since: float
    seconds: dict[int, float] = field(default_factory=dict)
    measuring: "subprocess.Popen[bytes] | None" = None
    measured: float = 0.0
    measure_at: float = 0.0
    free: int = 0


class Usage:
    """Samples rooms with tasks, several times a second at most.

    Parameters
    ----------
    clock
        Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._taken: dict[Room, _Taken] = {}
        self._due_at = clock() + SAMPLE_SECONDS

    @property
    def due(self) -> bool:
        """Whether it is time for another sample."""
        return self._clock() >= self._due_at

    def sample(self, rooms: Mapping[Room, Collection[int]]) -> dict[Room, str]:
        """Look at what rooms take.

        Parameters
        ----------
        rooms
            The rooms with tasks under way, and the processes of the tasks.

        Returns
        -------
        dict
            The rooms that have passed a limit, and a sentence that names it.
        """
        now, began = self._clock(), time.thread_time()
        for room in [each for each in self._taken if each not in rooms]:
            self._forget(room)
        passed = {}
        for room, tasks in rooms.items():
            taken = self._taken.setdefault(
                room, _Taken(now, now, measure_at=now + _FILES_SECONDS)
            )
            found = room.sample(tasks)
            self._note_computing(taken, found, now)
            sentence = _passed(room, found) or self._files(taken, room)
            if sentence is not None:
                passed[room] = sentence
        # A run with a thousand processes takes long to look at, and is not to slow others down.
        took = time.thread_time() - began
        pause = min(_SAMPLE_PAUSE * took, _LONGEST_PAUSE_SECONDS)
        self._due_at = now + max(SAMPLE_SECONDS, pause)
        return passed

    def waits(self, room: Room | None) -> bool:
        """Return whether the tasks of a room have not computed for a while, but waited."""
        taken = None if room is None else self._taken.get(room)
        return taken is not None and self._clock() - taken.computed >= _WAITING_SECONDS

    def close(self) -> None:
        """End what is under way."""
        for room in list(self._taken):
            self._forget(room)

    def _forget(self, room: Room) -> None:
        process = self._taken.pop(room).measuring
        if process is not None:
            process.kill()
            process.communicate()

    @staticmethod
    def _note_computing(taken: _Taken, found: Collection[Process], now: float) -> None:
        seconds = {process.pid: process.cpu_seconds for process in found}
        passed = now - taken.since
        if passed < _SHARE_SECONDS and taken.seconds:
            return
        # Of a process that has come and gone nobody knows what it took: starting it took some.
        took = sum(value - taken.seconds.get(pid, 0.0) for pid, value in seconds.items())
        if not taken.seconds or took >= _SHARE * passed or seconds.keys() - taken.seconds.keys():
            taken.computed = now
        taken.seconds, taken.since = seconds, now

    def _files(self, taken: _Taken, room: Room) -> str | None:
        limit = room.plan.limits.files
        now = self._clock()
        if limit is None:
            return None
        if taken.measuring is None:
            space = os.statvfs(room.plan.directory.parent)
            free = space.f_bavail * space.f_frsize
            taken.free = taken.free or free
            if now < taken.measure_at and taken.free - free < limit * _FILES_SHARE:
                return None
            taken.measured, taken.free = now, free
            taken.measuring = directories.begin_to_measure(room.plan.directory, room.user)
            return None
        if taken.measuring.poll() is None:
            return None
        size = directories.measured(taken.measuring)
        taken.measuring = None
        taken.measure_at = now + max(_FILES_SECONDS, _FILES_PAUSE * (now - taken.measured))
        if size <= limit:
            return None
        return (
            f"The run exceeded its limit of {in_words(limit)} of files on this node "
            f"(--max-files): it had {in_words(size)}."
        )


def _passed(room: Room, found: Collection[Process]) -> str | None:
    limits = room.plan.limits
    threads = sum(process.threads for process in found)
    if limits.processes is not None and threads > limits.processes:
        return (
            f"The run exceeded its limit of {limits.processes} processes and threads on this "
            f"node (--max-processes): it had {threads}."
        )
    if limits.memory is None:
        return None
    baseline = 0 if room.client is None else room.client.baseline
    memory = sum(max(0, processes.private_memory([each]) - baseline) for each in found)
    if memory <= limits.memory:
        return None
    return (
        f"The run exceeded its limit of {in_words(limits.memory)} of memory on this node "
        f"(--max-memory): it had {in_words(memory)}."
    )
