"""The fork server: a process that imports, and then only forks.

It has one thread of Python. Whoever started it asks for a fork by sending one end of a socket
pair; what the fork has to do, secrets included, goes over that pair and never passes through
here. A fork may be a fork server in turn, for which `serve_forks` is there.
"""

import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from fedstate import system
from fedstate.errors import SettingError
from fedstate.forking import preload
from fedstate.forking.channel import Channel
from fedstate.forking.ending import leave

Entry = Callable[[int], NoReturn]
Command = Callable[[Channel, dict[str, Any]], None]


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
    adopt_orphans()
    try:
        # The entry first: what it imports is fit for a fork, and a module of the user's may
        # not be.
        preload.load([entry, *modules])
    except SettingError as error:
        owner.send({"event": "failed", "reason": str(error)})
        return 1
    freeze()
    owner.send({"event": "ready"})
    return serve_forks(owner, entry)


def freeze() -> None:
    """Keep the collector of every fork from the objects that live by now.

    Their pages stay shared: nobody writes into them.
    """
    gc.collect()
    gc.freeze()


def adopt_orphans() -> None:
    """Become the parent of whatever is left of a fork that has ended, where the system can."""
    if system.LINUX:
        system.prctl(system.PR_SET_CHILD_SUBREAPER, 1)


def serve_forks(owner: Channel, entry: str, commands: Mapping[str, Command] | None = None) -> int:
    """Fork whenever the owner asks for it, until it closes its end; return the exit code.

    Parameters
    ----------
    owner
        The channel to whoever asks. Each request, ``{"fork": True}``, comes with the descriptor
        of the fork's end; ``{"fork": "package.module"}`` is for another entry.
    entry
        The module whose ``run`` each fork calls with that descriptor.
    commands
        What else the owner may ask for: by the name of the key, what is called with the owner's
        channel and the message.
    """
    return _Serving(owner, entry, commands or {}).run()


class _Serving:
    """The loop of a process that forks."""

    def __init__(self, owner: Channel, entry: str, commands: Mapping[str, Command]) -> None:
        self._owner = owner
        self._entry = entry
        self._commands = commands
        self._forks: set[int] = set()
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._owner, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        while not self._owner.ended:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake:
                    self._wake.recv(4096)
                    continue
                for message, descriptors in self._owner.receive_with_descriptors():
                    for end in descriptors:
                        self._fork(message, end)
                    for name in message.keys() & self._commands.keys():
                        self._commands[name](self._owner, message)
                    if "ping" in message:
                        self._owner.send({"event": "pong", "number": message["ping"]})
            self._reap()
        self._selector.close()
        return 0

    def _fork(self, message: dict[str, Any], end: int) -> None:
        asked = message.get("fork")
        try:
            pid = fork()
        except OSError as error:
            # Too many processes, or too little memory: it may pass, and other forks live on.
            channel = Channel(socket.socket(fileno=end))
            channel.send({"event": "unforked", "errno": error.errno})
            channel.close()
            return
        if pid == 0:
            self._forget()
            importlib.import_module(asked if isinstance(asked, str) else self._entry).run(end)
        self._forks.add(pid)
        os.close(end)

    def _forget(self) -> None:
        """Undo in the fork what belongs to the server alone."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        for each in (self._owner, self._wake, self._waker):
            each.close()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._forks:  # and no orphan of one
                self._forks.remove(pid)
                code = os.waitstatus_to_exitcode(status)
                self._owner.send({"event": "exited", "pid": pid, "status": code})


def fork() -> int:
    """Fork a process whose only thread of Python is this one."""
    with warnings.catch_warnings():
        # Python 3.12 warns of any other thread; those here belong to numerical libraries, idle
        # until their first operation, which runs in the fork only.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


if __name__ == "__main__":
    sys.exit(main())
