"""The processes of a run: which there are, what they take, and the end of all of them."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from fedstate import system
from fedstate.forking.server import fork
from fedstate.process_table import Process, living

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PAUSE_SECONDS = 0.005
# Not every kernel is built with it.
_LISTS_CHILDREN = Path("/proc/self/task", str(os.getpid()), "children").exists()


def all_processes() -> dict[int, Process]:
    """Return every process that lives."""
    names = os.listdir("/proc")  # noqa: PTH208 - many times a second
    found = (living(int(name)) for name in names if name.isdecimal())
    return {process.pid: process for process in found if process is not None}


def descendants(pid: int, among: dict[int, Process] | None = None) -> list[Process]:
    """Return the children of a process, theirs, and so on; a dead one's belong to a subreaper."""
    table = all_processes() if among is None else among
    children: dict[int, list[Process]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process)
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += [process.pid for process in below]
    return found


def offspring(pid: int) -> list[Process]:
    """Return descendants as `descendants` does, at a fraction of its cost.

    It looks at this process's children alone, not at all processes of the machine. One that comes
    or goes meanwhile may be missed, so it is for samples, and not for killing.
    """
    if not _LISTS_CHILDREN:
        return descendants(pid)
    found, waiting = [], [pid]
    while waiting:
        for child in children(waiting.pop()):
            if (process := living(child)) is not None:
                found.append(process)
                waiting.append(child)
    return found


def children(pid: int) -> list[int]:
    """Return the children of a process, those that have ended and are not reaped included.

    One that ends meanwhile may hide another.
    """
    if not _LISTS_CHILDREN:
        return [each.pid for each in all_processes().values() if each.parent == pid]
    place = f"/proc/{pid}/task"
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(place):  # noqa: PTH208
            with open(f"{place}/{thread}/children", "rb") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    return found


def user_of(pid: int) -> int | None:
    """Return the real user of a process, or None if there is none."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123
            for line in file:
                if line.startswith(b"Uid:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return None


def of_user(user: int) -> list[Process]:
    """Return the processes of a user that live."""
    return [process for process in all_processes().values() if user_of(process.pid) == user]


def private_memory(processes: Iterable[Process]) -> int:
    """Return the bytes of memory that are no files' in these processes; copies on write count."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError), open(f"/proc/{process.pid}/statm", "rb") as file:  # noqa: PTH123
            fields = file.read().split()
            total += (int(fields[1]) - int(fields[2])) * _PAGE
    return total


def send(process: Process, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to this very process, and to none that has its number since."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(process.pid)
        try:
            now = living(process.pid)
            if now is not None and now.started == process.started:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def kill_all(find: Callable[[], Collection[Process]], seconds: float = 2.0) -> bool:
    """Kill processes until none is found any more, those that they start meanwhile included.

    Returns
    -------
    bool
        Whether none is left.
    """
    deadline = time.monotonic() + seconds
    while found := find():
        for process in found:
            send(process)
        if time.monotonic() > deadline:
            return not find()
        time.sleep(_PAUSE_SECONDS)
    return True


def kill_user(user: int, seconds: float = 5.0) -> bool:
    """Kill every process of a user; needs the right to become that user.

    The kernel does it in one go, for a process of that user: no fork gets away.

    Returns
    -------
    bool
        Whether none is left.
    """
    deadline = time.monotonic() + seconds
    while of_user(user):
        if (pid := fork()) == 0:
            _kill_as(user)
        os.waitpid(pid, 0)
        if time.monotonic() > deadline:
            return not of_user(user)
        time.sleep(_PAUSE_SECONDS)
    return True


def _kill_as(user: int) -> None:
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        # With CAP_KILL it would be every process of the machine.
        system.drop_all_capabilities()
        if not system.effective_capabilities() and os.getuid() == user != 0:
            os.kill(-1, signal.SIGKILL)
    finally:
        os._exit(0)
