"""The file that says when the executor last worked, for whoever looks after it from outside.

It holds no wall-clock time, which somebody may set, but that of the kernel since it was started:
all containers of a machine share it. Nothing but the standard library is imported here.
"""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

from fedstate.errors import FederationError

# How long a working executor may be silent. Its process is restarted after 15 s, and has to be
# seen to be unwell before that.
WORKING_SECONDS = 8.0
# After this the process that restarts it is itself beyond help.
WATCHED_SECONDS = 20.0

_LINE = re.compile(r"([1-9]\d*) (\d+\.\d+) (-?\d+\.\d+)\n")


def write_heartbeat(file: Path, *, alive: float, worked: float | None) -> None:
    """Write that this process, which watches over the executor, lives.

    Parameters
    ----------
    file
        Replaced as a whole, so that nobody reads half of it.
    alive
        Now, in seconds of the kernel's monotonic clock.
    worked
        When the executor last worked, in the same; None if it has not yet.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(f"{os.getpid()} {alive:.3f} {-1 if worked is None else worked:.3f}\n")
    partial.replace(file)


def check_executor(file: Path, *, restart: bool = False) -> None:
    """Make sure that the executor works.

    Parameters
    ----------
    file
        Its heartbeat file.
    restart
        Whether to end an executor of which not even the process that watches over it lives, so
        that what started it starts it again.

    Raises
    ------
    FederationError
        The executor does not work; the message says since when.
    """
    pid, alive, worked = _read(file)
    now = time.monotonic()
    silent = now - alive
    if silent > WATCHED_SECONDS and restart:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if silent > WORKING_SECONDS:
        raise FederationError(
            f"The process that watches over the executor has been silent for {silent:.0f} s."
        )
    if worked < 0:
        raise FederationError("The executor has not worked yet.")
    if now - worked > WORKING_SECONDS:
        raise FederationError(f"The executor has not worked for {now - worked:.0f} s.")


def is_beyond_help(file: Path) -> bool:
    """Return whether not even the process that watches over the executor has written lately.

    False where nothing was ever written.
    """
    try:
        return time.monotonic() - _read(file)[1] > WATCHED_SECONDS
    except FederationError:
        return False


def _read(file: Path) -> tuple[int, float, float]:
    try:
        content = file.read_text()
    except OSError as error:
        raise FederationError(
            f"The executor has not written {file} ({error.strerror}); is it running?"
        ) from None
    if (found := _LINE.fullmatch(content)) is None:
        raise FederationError(f"{file} is no heartbeat of an executor: remove it.")
    return int(found[1]), float(found[2]), float(found[3])
