"""What code has started in a process and a fork would be without, or would share."""

import os
import re
import sys
import threading
import time
from pathlib import Path

from fedstate.forking.preload import tensorflow_started

_TASKS = "/proc/self/task"
_ENDING_SECONDS = 0.1
_PAUSE_SECONDS = 0.005
# Libraries whose threads are renewed in a fork, or, TensorFlow's, are not needed before its
# runtime starts.
_RENEWED = re.compile(r"openblas|libarrow|libtensorflow")


class Started:
    """Says, each time that it looks, what has been started since it looked last.

    A look takes some microseconds: there is one before and after each module that is imported.
    """

    def __init__(self) -> None:
        # Themselves, since a new thread may get the number of one that has ended.
        self._threads = set(threading.enumerate())
        self._tasks = _tasks()
        self._renewed = _renewed()
        self._runtimes = _runtimes()

    def look(self) -> str | None:
        """Return what has been started, as a sentence's end; None if nothing.

        Python's own threads are not among it: see `threads`.
        """
        tasks, runtimes = _tasks(), _runtimes()
        more_tasks, more_runtimes = tasks - self._tasks, runtimes - self._runtimes
        self._tasks, self._runtimes = tasks, runtimes
        if more_runtimes:
            return f"starts {' and '.join(sorted(more_runtimes))}"
        if more_tasks:
            more_tasks -= {str(thread.native_id) for thread in threading.enumerate()}
        if more_tasks and not self._of_a_renewing_library():
            more_tasks = _lasting_tasks(more_tasks)
        else:
            more_tasks = set()
        if more_tasks:
            return f"starts {_counted(len(more_tasks))} of a library"
        return None

    def threads(self) -> list[threading.Thread]:
        """Return the threads of Python that have been started and live."""
        now = threading.enumerate()
        more = [thread for thread in now if thread not in self._threads]
        self._threads = set(now)
        return more

    def _of_a_renewing_library(self) -> bool:
        before, self._renewed = self._renewed, _renewed()
        return bool(self._renewed - before)


def lasting(thread: threading.Thread) -> bool:
    """Return whether a thread goes on; one that is just ending, or was cancelled, does not."""
    thread.join(_ENDING_SECONDS)
    return thread.is_alive()


def _lasting_tasks(tasks: set[str]) -> set[str]:
    """Return which threads go on; the kernel has one that was joined a moment longer."""
    deadline = time.monotonic() + _ENDING_SECONDS
    while (tasks := tasks & _tasks()) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return tasks


def children() -> int:
    """Return how many child processes this process has."""
    found = 0
    for task in Path(_TASKS).iterdir():
        try:
            found += len((task / "children").read_text().split())
        except OSError:  # a thread that has just ended
            continue
    return found


def _tasks() -> set[str]:
    try:
        return set(os.listdir(_TASKS))  # noqa: PTH208  it takes a third of the time
    except OSError:
        return set()


def _renewed() -> frozenset[str]:
    """Return the files of such libraries in this process; thousands of lines take 2 ms."""
    try:
        text = Path("/proc/self/maps").read_text()
    except OSError:
        return frozenset()
    places = {line[line.find("/") :] for line in text.splitlines() if ".so" in line}
    return frozenset(place for place in places if _RENEWED.search(place))


def _runtimes() -> frozenset[str]:
    started = set()
    if tensorflow_started():
        started.add("TensorFlow's runtime")
    cuda = sys.modules.get("torch.cuda")
    # It is in sys.modules before it has its functions.
    if cuda is not None and getattr(cuda, "is_initialized", bool)():
        started.add("CUDA")
    jax = sys.modules.get("jax._src.xla_bridge")
    if jax is not None and getattr(jax, "_backends", None):
        started.add("JAX's runtime")
    return frozenset(started)


def _counted(threads: int) -> str:
    return "a thread" if threads == 1 else f"{threads} threads"
