"""Ending a fork as Python ends a program: threads, `atexit`, open files, destructors.

A fork must not return into the frames of whoever forked it, and `os._exit`, which prevents that,
skips all of what a program relies on at its end: a file that is not closed loses its last lines.
`Py_Exit` does all of it from where it is called and never returns, whatever frames there are: it
is what ends a program at a `SystemExit` in a callback from C, too.
"""

import atexit
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from types import ModuleType
from typing import NoReturn

from fedstate.logs import logger

# What the interpreter itself needs until its last moment.
_NEEDED = ("sys", "builtins", "__main__")
# What is left to destructors that began in time.
_LAST_SECONDS = 1.0


def finalize(
    code: int,
    *,
    seconds: float | None = None,
    set_aside: Mapping[str, ModuleType] | None = None,
) -> NoReturn:
    """End this process as Python ends a program; call it on the main thread.

    Parameters
    ----------
    code
        The exit code.
    seconds
        How long threads, exit functions and destructors may take; None for as long as they want.
    set_aside
        Modules by name that need not be destroyed, since nothing of the program's own is in
        them: destroying TensorFlow's takes 0.2 s of a core.
    """
    began = time.monotonic()
    timer = None if seconds is None else _force_exit(code, seconds)
    # As Py_Exit does them, and with the modules set aside still there. Done twice, they do
    # nothing.
    for each in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            each()
        except SystemExit:
            pass  # a signal that came again
        except BaseException:
            with contextlib.suppress(Exception):
                sys.excepthook(*sys.exc_info())
    if set_aside and not _others(timer):
        _set_aside(set_aside)
    if seconds is not None:
        _kill_after(seconds - (time.monotonic() - began) + _LAST_SECONDS)
    ctypes.pythonapi.Py_Exit(code)
    os._exit(code)  # never reached


def _force_exit(code: int, seconds: float) -> threading.Thread:
    """End the process on a thread when the time is over, as flwr's programs do."""

    def end() -> None:
        time.sleep(seconds)
        names = ", ".join(f"'{thread.name}'" for thread in _waited_for())
        if names:
            logger.warning(
                "The process is ended although threads of the app still run (%s): they have "
                "%g s after the app's output is pushed.",
                names,
                seconds,
            )
        os._exit(code)

    timer = threading.Thread(target=end, name="fedstate-end", daemon=True)
    timer.start()
    return timer


def _waited_for() -> list[threading.Thread]:
    main = threading.main_thread()
    return [each for each in threading.enumerate() if not each.daemon and each is not main]


def _others(timer: threading.Thread | None) -> bool:
    """Whether another thread runs: it would miss a module that is set aside."""
    known = {threading.main_thread(), timer}
    return any(each not in known and each.name != FOLLOWER for each in threading.enumerate())


# The thread of a task's process that only waits to be told to stop.
FOLLOWER = "fedstate-follow"


def _set_aside(modules: Mapping[str, ModuleType]) -> None:
    """Take modules out of the interpreter's table, and keep them for ever."""
    kept = {}
    for name, module in modules.items():
        if name not in _NEEDED and sys.modules.get(name) is module:
            kept[name] = sys.modules.pop(name)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


def _kill_after(seconds: float) -> None:
    """Have the system end the process: no thread runs while the interpreter is taken apart."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
