"""The fork server: a process that imports, and then only forks.

It runs ``python -m fedstate.flower.executor.forkserver DESCRIPTOR MODULES`` and has one thread
of Python. The executor asks for a child by sending one end of a socket pair; what the child has
to do, its token included, goes over that pair and never passes through here.
"""

import gc
import os
import selectors
import signal
import socket
import sys
import warnings
from typing import Any

from fedstate.errors import SettingError
from fedstate.flower.executor import preload, worker
from fedstate.flower.executor.channel import Channel


def main() -> int:
    """Preload, then serve until the executor closes its end; return the exit code."""
    executor = Channel(socket.socket(fileno=int(sys.argv[1])))
    try:
        preload.load([name for name in sys.argv[2].split(",") if name])
    except SettingError as error:
        executor.send({"event": "failed", "reason": str(error)})
        return 1
    # Objects that live from now on are not looked at by the collector in any child, so that
    # their pages stay shared.
    gc.collect()
    gc.freeze()
    executor.send({"event": "ready"})
    return _serve(executor)


def _serve(executor: Channel) -> int:
    wake_reading, wake_writing = socket.socketpair()
    wake_reading.setblocking(False)
    wake_writing.setblocking(False)
    signal.set_wakeup_fd(wake_writing.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # A terminal's Ctrl-C reaches the whole group; the executor decides when children stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with selectors.DefaultSelector() as selector:
        selector.register(executor, selectors.EVENT_READ)
        selector.register(wake_reading, selectors.EVENT_READ)
        while not executor.ended:
            for key, _ in selector.select():
                if key.fileobj is wake_reading:
                    wake_reading.recv(4096)
                    continue
                for _, descriptors in executor.receive_with_descriptors():
                    (end,) = descriptors
                    if _fork() == 0:
                        _forget_the_server(selector, executor, wake_reading, wake_writing)
                        return worker.run(end)
                    os.close(end)
            _reap(executor)
    return 0


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of any other thread; those here belong to numerical libraries, idle
        # until their first operation, which runs in the child only.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _forget_the_server(selector: selectors.BaseSelector, *ends: Any) -> None:
    """Undo in the child what belongs to the server alone."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    selector.close()
    for end in ends:
        end.close()


def _reap(executor: Channel) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        executor.send(
            {"event": "exited", "pid": pid, "status": os.waitstatus_to_exitcode(status)}
        )


if __name__ == "__main__":
    sys.exit(main())
