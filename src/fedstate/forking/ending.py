"""How a process ended, and how a fork ends itself."""

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn


@dataclass(frozen=True)
class Ending:
    """How a process ended.

    Parameters
    ----------
    code
        Its exit code, or the negative number of the signal that ended it; None if nobody saw.
    """

    code: int | None

    @property
    def orderly(self) -> bool:
        """Whether the process ended by its own doing."""
        return self.code is not None and self.code >= 0

    def __str__(self) -> str:
        """Put it in words that follow the name of the process."""
        if self.code is None:
            return "ended"
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        name = signal.Signals(-self.code).name
        hint = " (the system may have run out of memory)" if name == "SIGKILL" else ""
        return f"was ended by {name}{hint}"


def end_with(main: Callable[[], int], *, broken: int) -> NoReturn:
    """Run what a fork is for, and end it with the exit code; `broken` if it raises."""
    code = broken
    try:
        code = exit_code(main, broken=broken)
    finally:
        leave(code)


def exit_code(main: Callable[[], int], *, broken: int) -> int:
    """Run the main function of a program, and return the exit code that Python gives it.

    Parameters
    ----------
    main
        Returns the exit code, or raises `SystemExit`, which is understood as Python does.
    broken
        The exit code when it raises anything else, which is shown as Python does.
    """
    try:
        return main()
    except SystemExit as request:
        return _code_of(request)
    except BaseException:
        with contextlib.suppress(Exception):
            sys.excepthook(*sys.exc_info())
        return broken


def _code_of(request: SystemExit) -> int:
    if request.code is None:
        return 0
    if isinstance(request.code, int):
        return request.code & 0xFF
    with contextlib.suppress(Exception):
        print(request.code, file=sys.stderr)  # noqa: T201
    return 1


def leave(code: int) -> NoReturn:
    """End as a program does, but without unwinding into the frames of whoever forked.

    Threads are not waited for, and objects are not destroyed: for a process that is all ours.
    What has run an app ends with `finalize`.
    """
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)
