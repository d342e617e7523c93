"""The process of one task: told what to do over a socket pair, gone when it is done.

Forked by the fork server, or, where nothing is preloaded, started as
``python -m fedstate.executor.worker DESCRIPTOR``. A fork whose app needs an interpreter in which
nothing is preloaded executes the same with a second descriptor, of what it hands over.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from typing import Any, NoReturn

from fedstate.executor import bare
from fedstate.executor.plan import RoomPlan
from fedstate.executor.program import become_program
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.forking.channel import Channel
from fedstate.forking.children import disinherit
from fedstate.forking.ending import exit_code
from fedstate.forking.finalization import FOLLOWER, finalize
from fedstate.logs import release

_BROKEN = 2
# What flwr's programs leave to an app's threads and exit functions.
END_SECONDS = 5.0
# How long a process outlives its executor: enough to send two gigabytes to a SuperNode.
_ORPHAN_SECONDS = 60.0


class Instructions:
    """What the executor sends: the task first, and later that it has to stop.

    In between there may be another certificate authority for the task's room.

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
            for message in channel.receive():
                if "certificate" in message:  # there is no process of the room to take it
                    from fedstate.executor import room

                    room.take_certificate(message["certificate"])
                else:
                    yield message

    def task(self) -> TaskOrder | None:
        """Return the task; None when the executor has gone before it could send it.

        Raises
        ------
        WallError, OSError
            If this process is to go into a room, and cannot.
        """
        for message in self._messages:
            if "room" in message:  # this process is no fork of one that is behind the walls
                from fedstate.executor import room

                room.enter(RoomPlan.from_json(message["room"]))
            order = TaskOrder.from_json(message["task"])
            if order.runtime_api_socket is not None:
                from fedstate.executor import room

                order = room.reaching(order)
            return order
        return None

    def follow(self, orphaned: Callable[[], object] = lambda: None) -> None:
        """Wait, on a thread, for the instruction to stop, and send SIGTERM to the main thread.

        Once the executor has gone, `orphaned` is called on this thread.
        """
        threading.Thread(
            target=self._follow, args=(orphaned,), name=FOLLOWER, daemon=True
        ).start()

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
    _end_as_program(lambda: _main(descriptor))


def go_on(descriptor: int, memory: int) -> NoReturn:
    """Run the task that a process before this one, of the same ID, hands over in memory."""
    _end_as_program(lambda: _go_on(descriptor, memory))


def _end_as_program(main: Callable[[], int]) -> NoReturn:
    inherited = dict(sys.modules)
    finalize(exit_code(main, broken=_BROKEN), seconds=END_SECONDS, set_aside=inherited)


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
    return _run(bare.Handover(order, channel, dict(os.environ)), instructions)


def _go_on(descriptor: int, memory: int) -> int:
    environment = dict(os.environ)
    channel = Channel(socket.socket(fileno=descriptor))
    # The programs that an app starts have no part in it.
    os.set_inheritable(descriptor, False)
    order, given = bare.take_over(memory)
    return _run(bare.Handover(order, channel, environment, given), Instructions(channel))


def _run(handover: bare.Handover, instructions: Instructions) -> int:
    order = handover.order
    instructions.follow(_end_soon)
    with open(os.devnull, "r+b", buffering=0) as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 0)
        if order.suppress_output:
            sys.stdout.flush()
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
    release()  # where there is no room
    if isinstance(sys.stdout, TextIOWrapper):
        # A line of a pipe would come at the end of the step; whoever follows the run sees it now.
        sys.stdout.reconfigure(line_buffering=True)
    seed_again()
    become_program(order.kind)
    disinherit(handover.channel)
    # Imported here, each where it is needed: a process that was not forked imports nothing else.
    from fedstate.flower.array_objects import use_quick_objects

    use_quick_objects()
    if order.kind == TaskKind.CLIENT_APP:
        from fedstate.executor.clientapp import run_clientapp

        return run_clientapp(
            handover, handover.channel.send, instructions.stop_reason, instructions.over
        )
    output = _Output(handover.channel)
    if order.kind == TaskKind.SERVER_APP:
        from fedstate.executor.serverapp import prepare

        prepare(handover, lambda: output.pushed, instructions.over)
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
    """Give the global generators of NumPy and PyTorch a state of their own: a fork copies one.

    Python's own generator sees to it by itself, as do `tempfile` and `uuid`; Keras takes its
    seeds from Python's. PyTorch's generators on other devices are made in the fork.
    """
    if "numpy.random" in sys.modules:
        import numpy as np

        np.random.seed()
    if "torch.random" in sys.modules:
        import torch

        torch.default_generator.seed()


if __name__ == "__main__":
    bare.mark()
    if sys.argv[2:]:
        go_on(int(sys.argv[1]), int(sys.argv[2]))
    run(int(sys.argv[1]))
