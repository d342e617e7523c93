"""The executor's side of the fork server: start it, ask it for children, notice that it died."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fedstate.errors import FederationError
from fedstate.flower.executor.channel import Channel

_STOP_SECONDS = 2.0


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


class Child(Protocol):
    """A process that runs one task."""

    def poll(self) -> Ending | None:
        """Return how the process ended; None while it lives."""

    def kill(self) -> None:
        """End the process at once."""


class ForkServer:
    """One fork server process.

    Parameters
    ----------
    modules
        What it imports before it can fork.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self.channel, theirs = Channel.pair()
        self.ready = False
        self.failure: str | None = None
        self._exited: dict[int, Ending] = {}
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "fedstate.flower.executor.forkserver"),
                *(str(theirs.fileno()), ",".join(modules)),
            ],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self.channel.socket.setblocking(False)

    @property
    def alive(self) -> bool:
        """Whether the process was there when it was last listened to."""
        return not self.channel.ended

    def fork(self) -> Channel:
        """Ask for a child; return the channel to it, which ends at once if there is none."""
        channel, theirs = Channel.pair()
        self.channel.send({"fork": True}, descriptor=theirs.fileno())
        theirs.close()
        channel.socket.setblocking(False)
        return channel

    def listen(self) -> None:
        """Take in what the server has said."""
        for message in self.channel.receive():
            match message["event"]:
                case "ready":
                    self.ready = True
                case "failed":
                    self.failure = message["reason"]
                case "exited":
                    self._exited[message["pid"]] = Ending(message["status"])

    def how_ended(self, pid: int) -> Ending | None:
        """Return how a child ended, once; None while it lives."""
        return self._exited.pop(pid, None)

    def how_server_ended(self) -> Ending:
        """Return how the server itself ended; it has closed its channel."""
        return Ending(self._process.wait())

    def close(self) -> None:
        """End the server; its children live on."""
        self.channel.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ForkedChild:
    """A child of a fork server, which may die before its child does.

    Parameters
    ----------
    server
        The server that forked it.
    pid
        Its process, as it has said itself.
    """

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self._pid = pid
        try:
            self._handle: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._handle = None

    def poll(self) -> Ending | None:
        """Return how the process ended; None while it lives."""
        how = self._server.how_ended(self._pid)
        if how is None and not self._server.alive and not self._living():
            how = Ending(None)
        if how is not None and self._handle is not None:
            os.close(self._handle)
            self._handle = None
        return how

    def kill(self) -> None:
        """End the process at once."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def _living(self) -> bool:
        if self._handle is None:
            return False
        with contextlib.suppress(ChildProcessError):
            # An orphan is ours to reap where this process is the first of its container.
            os.waitid(os.P_PIDFD, self._handle, os.WEXITED | os.WNOHANG)
        try:
            signal.pidfd_send_signal(self._handle, 0)
        except ProcessLookupError:
            return False
        return True


class StartedChild:
    """A child that was started as a program of its own, with nothing preloaded."""

    def __init__(self) -> None:
        self.channel, theirs = Channel.pair()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "fedstate.flower.executor.worker"),
                str(theirs.fileno()),
            ],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self.channel.socket.setblocking(False)

    def poll(self) -> Ending | None:
        """Return how the process ended; None while it lives."""
        code = self._process.poll()
        return None if code is None else Ending(code)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()


class ForkServers:
    """The fork server in use; a new one takes the place of one that died.

    Parameters
    ----------
    modules
        What each imports.
    """

    _PATIENCE = 3

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = modules
        self._never_ready = 0
        self.current = ForkServer(modules)

    def supervise(self) -> Ending | None:
        """Listen to the server; start another if it died, and return how it did.

        Raises
        ------
        FederationError
            If it cannot preload, or died several times over it.
        """
        server = self.current
        if server.alive:
            server.listen()
        if server.alive:
            return None
        if server.failure is not None:
            raise FederationError(server.failure)
        how = server.how_server_ended()
        self._never_ready = 0 if server.ready else self._never_ready + 1
        if self._never_ready == self._PATIENCE:
            raise FederationError(
                f"The fork server {how} while it imported {', '.join(self._modules)}, "
                f"{self._PATIENCE} times: name fewer modules with --preload, or none."
            )
        server.channel.close()
        self.current = ForkServer(self._modules)
        return how
