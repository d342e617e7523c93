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
from importlib.metadata import entry_points
from typing import Any, NoReturn

from flwr.supercore.constant import (
    TASK_TYPE_TO_APPIO_API_ADDRESS_ARG,
    TASK_TYPE_TO_COMMAND,
    TaskType,
)
from flwr.supercore.superexec.executor.types import ExecutionSpec

from fedstate.forking.channel import Channel
from fedstate.forking.ending import end_with

_BROKEN = 2


class Orders:
    """What the executor says: the task first, and later that it has to stop.

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

    def task(self) -> ExecutionSpec | None:
        """Return the task; None when the executor has gone before it could say."""
        for message in self._messages:
            given = message["task"]
            return ExecutionSpec(**{**given, "task_type": TaskType(given["task_type"])})
        return None

    def obey(self) -> None:
        """Wait, on a thread of its own, until this process has to stop, and stop it."""
        threading.Thread(target=self._obey, daemon=True).start()

    def why_stopped(self) -> str:
        """Return why, in one sentence."""
        return self._reason

    def _obey(self) -> None:
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
    end_with(lambda: _main(descriptor), broken=_BROKEN)


def _main(descriptor: int) -> int:
    channel = Channel(socket.socket(fileno=descriptor))
    channel.send({"event": "started", "pid": os.getpid()})
    orders = Orders(channel)
    spec = orders.task()
    if spec is None:
        return _BROKEN
    orders.obey()
    return _run(spec, channel, orders)


def _run(spec: ExecutionSpec, channel: Channel, orders: Orders) -> int:
    with open(os.devnull, "r+b", buffering=0) as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 0)
        if spec.suppress_output:
            sys.stdout.flush()
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
    _seed_again()
    if spec.task_type == TaskType.CLIENT_APP:
        # Imported here, as below, so that a task of another kind does not where nothing is
        # preloaded.
        from fedstate.executor.clientapp import run_clientapp

        return run_clientapp(spec, channel.send, orders.why_stopped)
    return _run_program_of_flwr(spec)


def _run_program_of_flwr(spec: ExecutionSpec) -> int:
    """Call flwr's own program for the task; its arguments stay inside this process."""
    name = TASK_TYPE_TO_COMMAND[spec.task_type]
    if spec.task_type == TaskType.SERVER_APP:
        from fedstate.executor.serverapp import prepare

        prepare()
    sys.argv = [
        name,
        TASK_TYPE_TO_APPIO_API_ADDRESS_ARG[spec.task_type],
        spec.runtime_api_address,
        "--token",
        spec.token,
        "--parent-pid",
        str(spec.parent_pid),
    ]
    if spec.insecure:
        sys.argv.append("--insecure")
    elif spec.root_certificates_path is not None:
        sys.argv += ["--root-certificates", spec.root_certificates_path]
    if spec.runtime_dependency_install:
        sys.argv.append("--allow-runtime-dependency-installation")
    (program,) = entry_points(group="console_scripts", name=name)
    program.load()()
    return 0


def _seed_again() -> None:
    """Give NumPy's global generator a state of its own: a fork copies the server's.

    Python's own generator sees to it by itself, and Keras takes its seeds from that one.
    """
    if "numpy.random" in sys.modules:
        import numpy as np

        np.random.seed()


if __name__ == "__main__":
    run(int(sys.argv[1]))
