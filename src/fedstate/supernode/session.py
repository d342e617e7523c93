"""What a SuperNode leaves behind so that the next one can go on with its session.

A SuperLink gives a node's key away only when the last heartbeat has lapsed. A SuperNode that was
killed and comes back within that time need not wait: nobody else can have been admitted since,
so the session is still its own, and one heartbeat continues it. The file says how long that is
true. It is bound to this machine's boot and to itself, so that a copy of the state directory,
on this machine or another, continues nothing.

The file is not fsynced: it has to survive the process, not the machine.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from fedstate.store.clock import since_boot

_LENGTH = 256
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Session:
    """A session that the SuperLink still counts as online.

    Attributes
    ----------
    node_id : int
        The node's ID at the SuperLink.
    seconds_left : float
        Until the SuperLink may admit another SuperNode with the same key.
    pulling : bool
        Whether it ended while a message was on its way, which may then be lost.
    """

    node_id: int
    seconds_left: float
    pulling: bool


class SessionFile:
    """The session of the SuperNode that uses a state directory; one process at a time.

    Parameters
    ----------
    path : Path
        The file; made if it is missing.
    patience : float
        Seconds after its last heartbeat for which the SuperLink counts a node as online.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._patience = patience
        self._identity = f"{_boot_id()}/{os.fstat(self._file).st_ino}"
        self._node_id: int | None = None
        self._alive_at = 0.0
        self._pulling = False

    def previous(self, now: float | None = None) -> Session | None:
        """Return the session that the last SuperNode left, or None if it has ended."""
        now = since_boot() if now is None else now
        try:
            left = json.loads(os.pread(self._file, _LENGTH, 0))
            seconds_left = left["alive_at"] + self._patience - now
            session = Session(int(left["node_id"]), seconds_left, bool(left["pulling"]))
            mine = left["identity"] == self._identity
        except (ValueError, KeyError, TypeError):
            return None
        # More than all of the patience left: it is of an earlier release, or damaged.
        return session if mine and 0 < seconds_left <= self._patience else None

    def alive(self, node_id: int, since: float) -> None:
        """Note that the SuperLink has answered a heartbeat of so many seconds since the boot."""
        self._node_id, self._alive_at = node_id, since
        self._write()

    def pulling(self, active: bool) -> None:
        """Note that a message may be on its way, or that none is."""
        self._pulling = active
        self._write()

    def end(self) -> None:
        """Note that the SuperLink was told that this node leaves."""
        self._node_id = None
        os.pwrite(self._file, b" " * _LENGTH, 0)

    def close(self) -> None:
        """Close the file; the session in it stays."""
        os.close(self._file)

    def _write(self) -> None:
        if self._node_id is None:
            return
        content = {
            "identity": self._identity,
            "node_id": str(self._node_id),
            "alive_at": self._alive_at,
            "pulling": self._pulling,
        }
        os.pwrite(self._file, json.dumps(content).ljust(_LENGTH).encode(), 0)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        # Without a way to tell one boot from the next no session is continued after either.
        return f"process-{os.getpid()}-{time.time_ns()}"
