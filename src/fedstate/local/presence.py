"""Who runs the federation in a directory: a lock, and a record of its processes.

The lock is the kernel's: whatever ends the process that holds it, it is free then, and the record
tells what that process has left running.
"""

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedstate.errors import FederationError
from fedstate.files import PRIVATE, write_new
from fedstate.local.member import Member, Recorded
from fedstate.process_table import living
from fedstate.waiting import wait_until

# A command that looks whether the lock is held holds it itself for a moment.
_TAKE_SECONDS = 1.0
_STOP_SECONDS = 15.0
DEFAULT_DIRECTORY = Path(".fedstate")
_LOCK = "federation.lock"
_RECORD = "federation.json"


@dataclass(frozen=True)
class Record:
    """What the process that runs a federation has written down.

    Attributes
    ----------
    pid, started : int
        The process, as `Recorded` names one.
    address : str
        The SuperLink's Control API.
    processes : sequence of Recorded
        The federation's processes, in the order of starting.
    """

    pid: int
    started: int
    address: str
    processes: Sequence[Recorded]

    @property
    def left(self) -> list[Recorded]:
        """The processes that are there."""
        return [each for each in self.processes if each.alive]


class Presence:
    """The lock and the record of one directory.

    Parameters
    ----------
    directory : Path
        The federation's own.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = directory / _LOCK
        self._record = directory / _RECORD
        self._held: int | None = None

    def take(self) -> None:
        """Take the lock, unless it was taken before; it ends with this process.

        Raises
        ------
        FederationError
            If another process has it; the message names it.
        """
        if self._held is not None:
            return
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, PRIVATE)

        def taken() -> bool:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            return False

        if not wait_until(taken, _TAKE_SECONDS):
            os.close(descriptor)
            raise FederationError(self._held_by_another())
        self._held = descriptor

    def release(self) -> None:
        """Give the lock back and forget what was written down: nothing runs any longer."""
        if self._held is None:
            return
        self._record.unlink(missing_ok=True)
        # Also for a process that was forked in between and has the descriptor, too.
        fcntl.flock(self._held, fcntl.LOCK_UN)
        os.close(self._held)
        self._held = None

    def write(self, address: str, members: Iterable[Member]) -> None:
        """Write down what runs."""
        own = living(os.getpid())
        content = {
            "pid": os.getpid(),
            "started": own.started if own else 0,
            "address": address,
            "processes": [member.as_json() for member in members],
        }
        write_new(self._record, json.dumps(content, indent=1).encode() + b"\n", PRIVATE)

    @property
    def is_held(self) -> bool:
        """Whether a process runs the federation."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def read(self) -> Record | None:
        """Return what was written down last; None if nothing is.

        Raises
        ------
        FederationError
            If it cannot be read.
        """
        try:
            content = json.loads(self._record.read_bytes())
            return Record(
                int(content["pid"]),
                int(content["started"]),
                str(content["address"]),
                [Recorded.from_json(each) for each in content["processes"]],
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise FederationError(
                f"{self._record} does not say what runs, as it was written by `fedstate local`: "
                "look with `ps` that no superlink, supernode or executor is left, and remove it."
            ) from None

    def end_leftovers(self) -> int:
        """End what an earlier federation has left running; return how many processes.

        Only with the lock.
        """
        record = self.read()
        left = record.left if record is not None else []
        for each in reversed(left):
            _end(each)
        self._record.unlink(missing_ok=True)
        return len(left)

    def _held_by_another(self) -> str:
        record = self.read()
        named = directory_option(self._directory)
        if record is None:
            who = "A federation is being started in"
            what = ""
        else:
            who = "A federation runs already in"
            what = f": its SuperLink is at {record.address}, and process {record.pid} keeps it"
        return (
            f"{who} {self._directory}{what}. `fedstate local status{named}` shows it, "
            f"`fedstate local stop{named}` stops it."
        )


def directory_option(directory: Path) -> str:
    """Return the option, with a space before it, that names a directory; none for the default."""
    if directory.resolve() == DEFAULT_DIRECTORY.resolve():
        return ""
    return f" --directory {directory}"


def _end(process: Recorded) -> None:
    """End a process that is no child of this one: asked first, made to after 15 s."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
        wait_until(lambda: not process.alive, _STOP_SECONDS)
        # Each leads a group of its own, with what it has started.
        os.killpg(process.pid, signal.SIGKILL)
    wait_until(lambda: not process.alive, _STOP_SECONDS)
