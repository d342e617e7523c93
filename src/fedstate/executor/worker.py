"""The process of one task: told what to do over a socket pair, gone when it is done.

Forked by the fork server, or, where nothing is preloaded, started as
``python -m fedstate.executor.worker DESCRIPTOR``.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

from fedstate.executor.program import become_program
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.forking.channel import Channel
from fedstate.forking.children import disinherit
from fedstate.forking.ending import exit_code
from fedstate.forking.finalization import FOLLOWER, finalize

_BROKEN = 2
# What flwr's programs leave to an app's threads and exit functions.
END_SECONDS = 5.0


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

    @staticmethod
    def _read(channel: Channel) -> Iterator[dict[str, Any]]:
        while not channel.ended:
            yield from channel.receive()

    def task(self) -> TaskOrder | None:
        """Return the task; None when the executor has gone before it could send it."""
        for message in self._messages:
            return TaskOrder.from_json(message["task"])
        return None

    def follow(self) -> None:
        """Wait, on a thread, for the instruction to stop, and send SIGTERM to the main thread."""
        threading.Thread(target=self._follow, name=FOLLOWER, daemon=True).start()

    def stop_reason(self) -> str:
        """Return why the task was stopped, in one sentence."""
        return self._reason

    def _follow(self) -> None:
        self._reason = next(
            (message["stop"] for message in self._messages),
            "The executor of the task has ended.",
        )
        # To the main thread itself: only then does a signal interrupt what it is waiting for.
        main = threading.main_thread().ident
        if main is not None:
            signal.pthread_kill(main, signal.SIGTERM)


def run(descriptor: int) -> NoReturn:
    """Run the task that comes over the descriptor, and end this process."""
    inherited = dict(sys.modules)
    code = exit_code(lambda: _main(descriptor), broken=_BROKEN)
    finalize(code, seconds=END_SECONDS, set_aside=inherited)


def _main(descriptor: int) -> int:
    # Neither a socket that was received nor one that was passed on is closed by itself when the
    # app executes a program.
    os.set_inheritable(descriptor, False)
    channel = Channel(socket.socket(fileno=descriptor))
    channel.send({"event": "started", "pid": os.getpid()})
    instructions = Instructions(channel)
    order = instructions.task()
    if order is None:
        return _BROKEN
    instructions.follow()
    return _run(order, channel, instructions)


def _run(order: TaskOrder, channel: Channel, instructions: Instructions) -> int:
    with open(os.devnull, "r+b", buffering=0) as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 0)
        if order.suppress_output:
            sys.stdout.flush()
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
    seed_again()
    become_program(order.kind)
    disinherit(channel)
    # Imported here, each where it is needed: a process that was not forked imports nothing else.
    if order.kind == TaskKind.CLIENT_APP:
        from fedstate.executor.clientapp import run_clientapp

        return run_clientapp(order, channel.send, instructions.stop_reason)
    output = _Output(channel)
    if order.kind == TaskKind.SERVER_APP:
        from fedstate.executor.serverapp import prepare

        prepare(lambda: output.pushed)
    from fedstate.flower.task_program import run_program

    run_program(order, on_output=output.on_pushed)
    return 0


class _Output:
    """Whether one of flwr's programs has pushed the output of its task."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.pushed = False

    def on_pushed(self) -> None:
        """Take note of it, and tell the executor once."""
        if not self.pushed:
            self.pushed = True
            self._channel.send({"event": "finished"})


def seed_again() -> None:
    """Give NumPy's global generator a state of its own: a fork copies the server's.

    Python's own generator sees to it by itself, and Keras takes its seeds from that one.
    """
    if "numpy.random" in sys.modules:
        import numpy as np

        np.random.seed()


if __name__ == "__main__":
    run(int(sys.argv[1]))
