"""Processes of this machine as root sees them: also those in containers and of other users."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def name_of(pid: int) -> str:
    """Return a process's name; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").removesuffix("\n")
    except OSError:
        return ""


def all_processes() -> Iterator[int]:
    """Yield every process that is no zombie."""
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit() and _state(int(entry)) not in ("Z", "X", ""):
            yield int(entry)


def named(prefix: str) -> list[int]:
    """Return the processes whose name begins so."""
    return [pid for pid in all_processes() if name_of(pid).startswith(prefix)]


def parent_of(pid: int) -> int:
    """Return a process's parent; 0 if it is gone."""
    return int(_fields(pid)[1]) if _fields(pid) else 0


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    parents = {each: parent_of(each) for each in all_processes()}
    found, added = {pid}, True
    while added:
        more = {each for each, parent in parents.items() if parent in found} - found
        found |= more
        added = bool(more)
    return sorted(found - {pid})


def ancestors(pid: int) -> list[int]:
    """Return a process's parent, its parent, and so on."""
    found = []
    while (pid := parent_of(pid)) > 1:
        found.append(pid)
    return found


def inner(pid: int) -> int:
    """Return the number by which a process is known in its own container; 0 if it is gone."""
    return int(_status(pid).get("NSpid", "0").split()[-1])


def user_of(pid: int) -> int:
    """Return the user that a process runs as."""
    status = _status(pid)
    if not status:
        raise ProcessLookupError(pid)
    return int(status["Uid"].split()[0])


def resident(pid: int) -> int:
    """Return the bytes that a process has in memory and shares with nobody; 0 if it is gone."""
    return int(_status(pid).get("RssAnon", "0").split()[0]) * 1024


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    except OSError:
        return 0


def treasure_of(pid: int) -> dict[str, Any]:
    """Return where a victim has what it could lose; empty until it says so."""
    directory = Path(f"/proc/{pid}/fd")
    try:
        for descriptor in directory.iterdir():
            if "memfd:treasure" in str(descriptor.readlink()):
                return dict(json.loads(descriptor.read_text() or "{}"))
    except (OSError, ValueError):
        return {}
    return {}


def release(pid: int) -> None:
    """Let a process go on that waits for SIGUSR1; one that has ended meanwhile needs nothing."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGUSR1)


def _state(pid: int) -> str:
    fields = _fields(pid)
    return fields[0] if fields else ""


def _status(pid: int) -> dict[str, str]:
    """Return what stands in /proc/PID/status, by its names; nothing if the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _fields(pid: int) -> list[str]:
    """Return what stands in /proc/PID/stat behind the name, which may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
