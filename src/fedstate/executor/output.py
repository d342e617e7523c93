"""The output of apps goes through a pipe: none of them holds the executor's log itself.

Whoever has a file open may empty it, and its size counts against the limit of whoever writes to
it: one app that prints without end would keep every other from printing. Whoever has a terminal
open reads what is typed there.
"""

import atexit
import contextlib
import os
import select
import signal
import socket
import stat
import time
from typing import NoReturn

from fedstate.forking.server import fork

_OUTPUT = (1, 2)
_WRITE_ONLY = 0o222
_CHUNK = 1 << 16
# What all apps of an executor together may print: at once, and over time.
_BURST_BYTES = 16 * 2**20
_BYTES_A_SECOND = 2**20
_LAST_SECONDS = 2.0


def pipe_output() -> None:
    """Put a pipe in the place of this process's output, and a process that copies from it.

    Nothing is done where the output is a pipe already, as in a container. Only where this is the
    one thread of Python. At its end this process waits until all it has said is copied.
    """
    if not any(_is_to_be_kept(descriptor) for descriptor in _OUTPUT):
        return
    reading, writing = _pipe()
    done_reading, done_writing = os.pipe()
    intermediate = fork()
    if intermediate == 0:
        # Nobody's child and in no session of others: it outlives all whose output it copies.
        os.setsid()
        if fork() == 0:
            for descriptor in (writing, done_reading):
                os.close(descriptor)
            _copy(reading)
        os._exit(0)
    os.waitpid(intermediate, 0)
    for descriptor in (reading, done_writing):
        os.close(descriptor)
    for descriptor in _OUTPUT:
        if _is_to_be_kept(descriptor):
            os.dup2(writing, descriptor)
    os.close(writing)
    atexit.register(_finish, os.getpid(), done_reading)


def _is_to_be_kept(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or os.isatty(descriptor)


def _pipe() -> tuple[int, int]:
    """Return two ends, of which what is written to the second is read from the first alone.

    A pipe can be opened again through /proc, by whoever its mode lets: for writing it is meant
    to be, as /dev/stdout is. Its owner could change the mode, where that is not root alone.
    """
    if os.geteuid() == 0:
        reading, writing = os.pipe()
        os.fchmod(writing, _WRITE_ONLY)
        return reading, writing
    ours, theirs = socket.socketpair()
    ours.shutdown(socket.SHUT_WR)
    return ours.detach(), theirs.detach()


def _finish(owner: int, done: int) -> None:
    """Close the output of the process that it was made for, and wait until it was copied."""
    if os.getpid() != owner:
        return
    with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        for descriptor in _OUTPUT:
            os.dup2(nowhere.fileno(), descriptor)
    select.select([done], [], [], _LAST_SECONDS)


def _copy(reading: int) -> NoReturn:
    """Copy until nobody writes any longer; drop what comes faster than is bearable."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    allowance = Allowance(_BURST_BYTES, _BYTES_A_SECOND, time.monotonic())
    dropped = 0
    while chunk := os.read(reading, _CHUNK):
        if not allowance.covers(len(chunk), time.monotonic()):
            dropped += len(chunk)
            continue
        if dropped:
            chunk = f"\n[{dropped} bytes of output were dropped]\n".encode() + chunk
            dropped = 0
        _write(chunk)
    if dropped:
        _write(f"\n[{dropped} bytes of output were dropped]\n".encode())
    os._exit(0)


def _write(chunk: bytes) -> None:
    with contextlib.suppress(OSError):  # a full disk: apps go on all the same
        while chunk:
            chunk = chunk[os.write(1, chunk) :]


class Allowance:
    """How much may still be copied: a bucket that fills over time.

    Parameters
    ----------
    most
        Bytes that it holds.
    per_second
        Bytes by which it fills.
    now
        Seconds of a clock that only grows.
    """

    def __init__(self, most: int, per_second: int, now: float) -> None:
        self._most = most
        self._per_second = per_second
        self._left = float(most)
        self._then = now

    def covers(self, size: int, now: float) -> bool:
        """Return whether so many bytes may be copied now, and take them if so."""
        self._left = min(self._most, self._left + (now - self._then) * self._per_second)
        self._then = now
        if self._left < size:
            return False
        self._left -= size
        return True
