"""The fork server: a process that imports, and then only forks.

It has one thread of Python. Whoever started it asks for a fork by sending one end of a socket
pair; what the fork has to do, secrets included, goes over that pair and never passes through
here.
"""

import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from fedstate.errors import SettingError
from fedstate.forking import preload
from fedstate.forking.channel import Channel
from fedstate.forking.ending import leave

Entry = Callable[[int], NoReturn]


def main() -> int:
    """Run ``python -m fedstate.forking.server DESCRIPTOR ENTRY MODULES``; return the exit code.

    ``ENTRY`` is a module whose function ``run`` takes the descriptor of a fork's end.
    """
    descriptor, entry, modules = sys.argv[1:]
    return serve(int(descriptor), entry, [name for name in modules.split(",") if name])


def run(descriptor: int, entry: str, modules: Sequence[str]) -> NoReturn:
    """Serve in a process that was itself forked, and end it."""
    code = 1
    try:
        code = serve(descriptor, entry, modules)
    finally:
        leave(code)


def serve(descriptor: int, entry: str, modules: Sequence[str]) -> int:
    """Preload, then fork until the other end of the descriptor closes; return the exit code."""
    owner = Channel(socket.socket(fileno=descriptor))
    # A terminal's Ctrl-C reaches the whole group; whoever asked for forks decides when they stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # The entry first: what it imports is fit for a fork, and a module of the user's may
        # not be.
        preload.load([entry, *modules])
    except SettingError as error:
        owner.send({"event": "failed", "reason": str(error)})
        return 1
    # Objects that live from now on are not looked at by the collector in any fork, so that
    # their pages stay shared.
    gc.collect()
    gc.freeze()
    owner.send({"event": "ready"})
    return _serve(owner, importlib.import_module(entry).run)


def _serve(owner: Channel, entry: Entry) -> int:
    wake_reading, wake_writing = socket.socketpair()
    wake_reading.setblocking(False)
    wake_writing.setblocking(False)
    signal.set_wakeup_fd(wake_writing.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector:
        selector.register(owner, selectors.EVENT_READ)
        selector.register(wake_reading, selectors.EVENT_READ)
        while not owner.ended:
            for key, _ in selector.select():
                if key.fileobj is wake_reading:
                    wake_reading.recv(4096)
                    continue
                for message, descriptors in owner.receive_with_descriptors():
                    if "ping" in message:
                        owner.send({"event": "pong"})
                        continue
                    (end,) = descriptors
                    if fork() == 0:
                        _forget_the_server(selector, owner, wake_reading, wake_writing)
                        return entry(end)
                    os.close(end)
            _reap(owner)
    return 0


def fork() -> int:
    """Fork a process whose only thread of Python is this one."""
    with warnings.catch_warnings():
        # Python 3.12 warns of any other thread; those here belong to numerical libraries, idle
        # until their first operation, which runs in the fork only.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _forget_the_server(selector: selectors.BaseSelector, *ends: Any) -> None:
    """Undo in the fork what belongs to the server alone."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    selector.close()
    for end in ends:
        end.close()


def _reap(owner: Channel) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        owner.send({"event": "exited", "pid": pid, "status": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    sys.exit(main())
