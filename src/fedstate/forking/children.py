"""The forks that a program makes of its process: what they do not inherit, and how they end.

A fork has a copy of everything: our signal handlers, which would have it report on a task that
is its parent's; our end of a channel; and our frames, into which it returns when the program's
function ends. On stock Flower such a fork pushes a second reply.
"""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from fedstate.forking.ending import exit_code
from fedstate.forking.finalization import finalize

T = TypeVar("T")

# What flwr's programs and ours handle.
_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
_OURS = ("fedstate", "flwr")
_PYTHON_CODE_OF_AN_EXCEPTION = 1


class Closable(Protocol):
    """Something that a fork does not need."""

    def close(self) -> None:
        """Close it in this process."""


def disinherit(*ends: Closable) -> None:
    """Let no fork of this process inherit our signal handlers, nor these ends of channels.

    Handlers that the program has set itself are inherited, as in any program. Processes that are
    executed inherit neither in any case.
    """
    before = threading.local()

    def block() -> None:
        # A handler in Python runs some time after its signal. One that came between the fork and
        # `reset` would find no handler then, and be lost: the pool that sent it waits for ever.
        before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before.mask)

    def reset() -> None:
        for end in ends:
            end.close()
        for each in _HANDLED:
            if is_ours(signal.getsignal(each)):
                default = signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL
                signal.signal(each, default)
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=reset)


def is_ours(handler: Any) -> bool:
    """Whether a signal handler is a function of flwr's or of ours."""
    return (getattr(handler, "__module__", None) or "").partition(".")[0] in _OURS


def call(function: Callable[[], T]) -> T:
    """Call a function of the program's; a fork that comes back from it ends here.

    It ends as a program does: with exit code 0 when the function returns, with a traceback and 1
    when it raises, and as it wants to at `SystemExit`.
    """
    owner = os.getpid()
    try:
        result = function()
    except BaseException as error:
        if os.getpid() == owner:
            raise
        finalize(exit_code(_raising(error), broken=_PYTHON_CODE_OF_AN_EXCEPTION))
    if os.getpid() != owner:
        finalize(0)
    return result


def _raising(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main
