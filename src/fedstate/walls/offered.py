"""Which walls this machine offers, found by trying."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedstate import system
from fedstate.forking.server import fork
from fedstate.walls import landlock, mounts
from fedstate.walls.users import LAST

_NEEDED = (system.CAP_SETUID, system.CAP_SETGID, system.CAP_KILL, system.CAP_CHOWN)
_NOT_PRIVILEGED = "this program may not change users; run it as root, or in a container"


@dataclass(frozen=True)
class Offered:
    """What can keep runs apart here.

    Attributes
    ----------
    landlock : int
        The ABI of Landlock; 0 for none.
    no_users : str or None
        Why runs cannot have users of their own; None if they can.
    own_memory : bool
        Whether runs without users of their own can have shared memory, terminals and a view of
        files of their own.
    """

    landlock: int
    no_users: str | None
    own_memory: bool = False

    @property
    def users(self) -> bool:
        """Whether each run can have a user of its own."""
        return self.no_users is None

    def missing(self) -> str | None:
        """Return in one line what is not enforced here; None if everything is."""
        parts = []
        if self.no_users is not None:
            shared = (
                "take precedence over each other"
                if self.own_memory
                else "change the modes of each other's files, share memory in /dev/shm and "
                "System V objects, and use this user's sockets"
            )
            if self.landlock >= landlock.SCOPES_ABI:
                lost = f"can {shared}"
            elif self.landlock:
                lost = f"can signal each other, {shared}"
            else:
                lost = "can read and stop each other, and read what this user can"
            parts.append(f"Runs have one user and {lost} ({self.no_users}).")
        if not self.landlock:
            parts.append("Landlock is not available: apps can write to /tmp and use every port.")
        elif self.landlock < landlock.PORTS_ABI:
            parts.append("This kernel's Landlock knows no ports: apps can use every one.")
        return " ".join(parts) or None


def offered(rooms: Path) -> Offered:
    """Find out which walls this machine offers; only where this is the one thread of Python.

    Parameters
    ----------
    rooms : Path
        The directory in which the runs' directories are.
    """
    why = _why_no_users(rooms)
    memory = why is not None and system.LINUX and _in_child(lambda: _try_own_view(rooms)) == "ok"
    return Offered(landlock.abi(), why, memory)


def environment_paths() -> list[Path]:
    """Return where Python and what it imports is, each path without symbolic links."""
    given = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.executable, os.__file__, *sys.path)
    paths = {Path(path).resolve(): None for path in given if path}
    return [path for path in paths if path.exists()]


def _why_no_users(rooms: Path) -> str | None:
    if not system.LINUX or not has_capabilities():
        return _NOT_PRIVILEGED
    paths = [*environment_paths(), Path(__file__), rooms]
    told = _in_child(lambda: _try_another_user(paths))
    return None if told == "ok" else told


def has_capabilities() -> bool:
    """Return whether this process may change users, and end and own what is theirs."""
    return all(system.effective_capabilities() >> each & 1 for each in _NEEDED)


def _in_child(attempt: Callable[[], str | None]) -> str:
    """Return what is in the way of an attempt, which a fork of this process makes, or "ok"."""
    reading, writing = os.pipe()
    if (pid := fork()) == 0:
        told = "a process of another user could not be started"
        try:
            told = attempt() or "ok"
        finally:
            os.write(writing, told.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        told = answer.read()
    os.waitpid(pid, 0)
    return told


def _try_own_view(rooms: Path) -> None:
    mounts.own_memory()
    mounts.hide((rooms,), (), ())


def _try_another_user(paths: Sequence[Path]) -> str | None:
    if mounts.may_mount():
        mounts.own_view(paths)
    os.setgroups([])
    os.setresgid(LAST, LAST, LAST)
    os.setresuid(LAST, LAST, LAST)
    system.drop_all_capabilities()
    return next((why for why in map(_out_of_reach, paths) if why), None)


def _out_of_reach(path: Path) -> str | None:
    # Passing through a directory is enough; a file, and a place of modules, has to be read.
    mode = os.X_OK if path.is_dir() else os.R_OK
    if os.access(path, mode):
        return None
    for above in (*reversed(path.parents), path):
        if not os.access(above, os.X_OK if above.is_dir() else os.R_OK):
            return f"other users cannot read {above}, which apps need"
    return f"other users cannot read {path}, which apps need"
