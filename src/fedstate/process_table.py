"""What ``/proc/PID/stat`` says of a process: whether it lives, whose it is, what it takes."""

import os
from dataclasses import dataclass

_TICKS = os.sysconf("SC_CLK_TCK")
_ZOMBIE, _DEAD, _STOPPED = b"Z", b"X", b"T"


@dataclass(frozen=True)
class Process:
    """One process, as it was at one moment.

    Attributes
    ----------
    pid, parent : int
        Its number, and that of its parent.
    threads : int
        How many threads it has.
    cpu_seconds : float
        The processor time that it has taken.
    started : int
        When it started, in the kernel's ticks: tells it from a later process with its number.
    """

    pid: int
    parent: int
    threads: int
    cpu_seconds: float
    started: int


def living(pid: int) -> Process | None:
    """Return a process; None if there is none, or only its exit code is left."""
    fields = _fields(pid)
    if fields is None or fields[0] in (_ZOMBIE, _DEAD):
        return None
    return Process(
        pid,
        int(fields[1]),
        int(fields[17]),
        (int(fields[11]) + int(fields[12])) / _TICKS,
        int(fields[19]),
    )


def is_stopped(pid: int) -> bool:
    """Return whether a process was stopped by a signal, such as SIGSTOP.

    It is there then, and does nothing until somebody lets it go on. False for a process that is
    not there, and on a system without ``/proc``.
    """
    fields = _fields(pid)
    return fields is not None and fields[0] == _STOPPED


def _fields(pid: int) -> list[bytes] | None:
    """Return what follows a process's name, beginning with its state; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - many times a second
            line = file.read()
    except OSError:
        return None
    # The name, in parentheses, is the process's own choice: it may hold spaces and parentheses.
    return line[line.rindex(b")") + 2 :].split() or None
