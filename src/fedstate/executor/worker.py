"""The process of one task: told what to do over a socket pair, gone when it is done.

Forked by the fork server, or, where nothing is preloaded, started as
``python -m fedstate.executor.worker DESCRIPTOR``.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.forking.channel import Channel
from fedstate.forking.ending import end_with

_BROKEN = 2
# How long a process outlives its executor: enough to send two gigabytes to a SuperNode.
_ORPHAN_SECONDS = 60.0


class Instructions:
    """What the executor sends: the task first, and later that it has to stop.

    Parameters
    ----------
    channel
        The channel from the executor.
    """

    def __init__(self, channel: Channel) -> None:
        self._messages: Iterator[dict[str, Any]] = self._read(channel)
        self._reason = "The task was stopped by a signal."
        self._over = False

    @staticmethod
    def _read(channel: Channel) -> Iterator[dict[str, Any]]:
        while not channel.ended:
            yield from channel.receive()

    def task(self) -> TaskOrder | None:
        """Return the task; None when the executor has gone before it could send it."""
        for message in self._messages:
            return TaskOrder.from_json(message["task"])
        return None

    def follow(self, orphaned: Callable[[], object] = lambda: None) -> None:
        """Wait, on a thread, for the instruction to stop, and send SIGTERM to the main thread.

        Once the executor has gone, `orphaned` is called on this thread.
        """
        threading.Thread(target=self._follow, args=(orphaned,), daemon=True).start()

    def stop_reason(self) -> str:
        """Return why the task was stopped, in one sentence."""
        return self._reason

    def over(self) -> bool:
        """Return whether the task has ended at its server, which expects nothing of it."""
        return self._over

    def _follow(self, orphaned: Callable[[], object]) -> None:
        stopped = False
        for message in self._messages:
            self._reason, self._over = message["stop"], message.get("over", False)
            if not stopped:
                self._interrupt()
            stopped = True
        if not stopped:
            self._reason = "The executor of the task has ended."
            self._interrupt()
        orphaned()

    @staticmethod
    def _interrupt() -> None:
        # To the main thread itself: only then does a signal interrupt what it is waiting for.
        main = threading.main_thread().ident
        if main is not None:
            signal.pthread_kill(main, signal.SIGTERM)


def _end_soon() -> None:
    """End this process, which ignores signals while it sends its result, in a bounded time."""
    time.sleep(_ORPHAN_SECONDS)
    os._exit(_BROKEN)


def run(descriptor: int) -> NoReturn:
    """Run the task that comes over the descriptor, and end this process."""
    end_with(lambda: _main(descriptor), broken=_BROKEN)


def _main(descriptor: int) -> int:
    channel = Channel(socket.socket(fileno=descriptor))
    channel.send({"event": "started", "pid": os.getpid()})
    instructions = Instructions(channel)
    order = instructions.task()
    if order is None:
        return _BROKEN
    instructions.follow(_end_soon)
    return _run(order, channel, instructions)


def _run(order: TaskOrder, channel: Channel, instructions: Instructions) -> int:
    with open(os.devnull, "r+b", buffering=0) as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 0)
        if order.suppress_output:
            sys.stdout.flush()
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
    seed_again()
    # Imported here, each where it is needed: a process that was not forked imports nothing else.
    if order.kind == TaskKind.CLIENT_APP:
        from fedstate.executor.clientapp import run_clientapp

        return run_clientapp(order, channel.send, instructions.stop_reason, instructions.over)
    if order.kind == TaskKind.SERVER_APP:
        from fedstate.executor.serverapp import prepare

        prepare()
    from fedstate.flower.task_program import run_program

    run_program(order)
    return 0


def seed_again() -> None:
    """Give NumPy's global generator a state of its own: a fork copies the server's.

    Python's own generator sees to it by itself, and Keras takes its seeds from that one.
    """
    if "numpy.random" in sys.modules:
        import numpy as np

        np.random.seed()


if __name__ == "__main__":
    run(int(sys.argv[1]))
