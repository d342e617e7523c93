"""How a process ended, and how a fork ends itself."""

import atexit
import contextlib
import os
import signal
import sys
import traceback
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
        code = main()
    except SystemExit as exit_request:
        code = exit_request.code if isinstance(exit_request.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        leave(code)


def leave(code: int) -> NoReturn:
    """End as a program does, but without unwinding into the frames of whoever forked."""
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)
