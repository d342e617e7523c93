"""How much one run may take of a machine, and the sentence that names a limit that was met."""

import errno
import os
import resource
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROCESSES = 1024
OPEN_FILES = 65536
_MOST_FILES = 10 * 1024**3
_CONTAINER_MEMORY = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_FILE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNITS = ((1024**3, "GB"), (1024**2, "MB"), (1024, "kB"))


@dataclass(frozen=True)
class RunLimits:
    """What one run may take on one node; None is no limit.

    Attributes
    ----------
    processes : int or None
        Processes and threads of all its tasks.
    open_files : int or None
        Open files of each process.
    memory : int or None
        Bytes of memory of all its processes, beyond what they share with the fork server.
    files : int or None
        Bytes in the run's directories.
    task_seconds : float or None
        Seconds of one task.
    """

    processes: int | None = None
    open_files: int | None = None
    memory: int | None = None
    files: int | None = None
    task_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the limits as a JSON object."""
        return asdict(self)

    def hint(self, error: BaseException) -> str | None:
        """Return which limit an app's error may come from, in a sentence; None if from none."""
        match self.reached(error):
            case "processes":
                return (
                    f"A run may have {self.processes} processes and threads here "
                    "(--max-processes)."
                )
            case "open_files":
                return f"A process may have {self.open_files} open files here (--max-open-files)."
            case "memory":
                words = in_words(self.memory or 0)
                return f"A run may take {words} of memory here (--max-memory)."
            case "files":
                words = in_words(self.files or 0)
                return f"A run may keep {words} of files here (--max-files)."
        return None

    def reached(self, error: BaseException) -> str | None:
        """Return the name of the limit that an app's error may come from; None if from none."""
        seen: BaseException | None = error
        while seen is not None:
            name = _named_by(seen)
            if name is not None and getattr(self, name) is not None:
                return name
            seen = seen.__cause__ or seen.__context__
        return None


def _named_by(error: BaseException) -> str | None:
    code = error.errno if isinstance(error, OSError) else None
    thread = isinstance(error, RuntimeError) and "start new thread" in str(error)
    if thread or code == errno.EAGAIN:
        return "processes"
    if code == errno.EMFILE:
        return "open_files"
    if isinstance(error, MemoryError) or code == errno.ENOMEM:
        return "memory"
    return "files" if code in _FILE_ERRORS else None


def default_limits(rooms: Path) -> RunLimits:
    """Return limits that leave a node able to work, whatever one run does.

    Parameters
    ----------
    rooms : Path
        An existing directory in the file system in which the runs' directories are.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    known = hard != resource.RLIM_INFINITY
    space = os.statvfs(rooms)
    return RunLimits(
        processes=PROCESSES,
        open_files=min(hard, OPEN_FILES) if known else OPEN_FILES,
        memory=available_memory() * 3 // 4,
        files=min(space.f_blocks * space.f_frsize // 2, _MOST_FILES),
    )


def available_memory() -> int:
    """Return the bytes of memory of this machine, or of this container if that has fewer."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in _CONTAINER_MEMORY:
        try:
            return min(machine, int(file.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return machine


def in_words(size: int) -> str:
    """Return a number of bytes as people write it."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"
