"""The side that asks for forks: it starts the fork server, and hears how its forks end."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from fedstate.errors import FederationError
from fedstate.forking import server
from fedstate.forking.channel import Channel
from fedstate.forking.ending import Ending
from fedstate.forking.stopped import is_stopped

_STOP_SECONDS = 2.0
_PING_SECONDS = 2.0
# How long a fork server may not answer before another takes its place. Its forks take
# milliseconds; less than the 15 s after which the executor itself would be restarted.
_SILENT_SECONDS = 10.0


class Child(Protocol):
    """A process that was asked for."""

    def poll(self) -> Ending | None:
        """Return how the process ended; None while it lives."""

    def kill(self) -> None:
        """End the process at once."""


class ForkServer:
    """One fork server process.

    Parameters
    ----------
    entry
        The module whose ``run`` each fork calls with the descriptor of its end.
    modules
        What the server imports before it can fork.
    by_fork
        Whether it is a fork of this process, and has all that was imported here; only where
        this is the one thread of Python.
    environment
        The environment of the server; None for this process's own.
    session
        Whether it gets a session of its own, which a terminal's Ctrl-C does not reach.
    """

    def __init__(
        self,
        entry: str,
        modules: Sequence[str],
        *,
        by_fork: bool = False,
        environment: Mapping[str, str] | None = None,
        session: bool = False,
    ) -> None:
        self.channel, theirs = Channel.pair()
        self.ready = False
        self.failure: str | None = None
        self._exited: dict[int, Ending] = {}
        self._asked: float | None = None
        self._answered = self._stopped = time.monotonic()
        if by_fork:
            self._process: _Forked | subprocess.Popen[bytes] = _Forked(server.fork())
            if self._process.pid == 0:
                self.channel.close()
                server.run(theirs.detach(), entry, modules)
        else:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", server.__name__),
                    *(str(theirs.fileno()), entry, ",".join(modules)),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=session,
            )
        theirs.close()
        self.channel.socket.setblocking(False)

    @property
    def alive(self) -> bool:
        """Whether the process was there when it was last listened to."""
        return not self.channel.ended

    def fork(self) -> Channel:
        """Ask for a fork; return the channel to it, which ends at once if there is none."""
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
                case "pong":
                    self._asked, self._answered = None, time.monotonic()
                case "exited":
                    self._exited[message["pid"]] = Ending(message["status"])

    def ping(self) -> None:
        """Ask the server whether it is there; `listen` takes in the answer."""
        now = time.monotonic()
        if not is_stopped(self._process.pid):
            self._stopped = now  # the last time that it was not
        if self.ready and self._asked is None and now - self._answered > _PING_SECONDS:
            self._asked = now
            self.channel.send({"ping": True})

    @property
    def silence(self) -> float:
        """For how many seconds the server has not answered, or has been stopped at its imports.

        Between two pings it has not been asked, and counts as having answered.
        """
        now = time.monotonic()
        return now - (self._stopped if self._asked is None else self._asked)

    def kill(self) -> None:
        """End the server at once; its forks live on."""
        self._process.kill()

    def how_ended(self, pid: int) -> Ending | None:
        """Return how a fork ended, once; None while it lives."""
        return self._exited.pop(pid, None)

    def how_server_ended(self) -> Ending:
        """Return how the server itself ended; it has closed its channel."""
        return Ending(self._process.wait())

    def close(self) -> None:
        """End the server; its forks live on."""
        self.channel.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Forked:
    """A fork of this process, with what a `subprocess.Popen` offers."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid) if pid else -1

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, once, or raise `subprocess.TimeoutExpired`."""
        if not select.select([self._handle], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("the fork server", timeout or 0)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._handle)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """End the process at once."""
        os.kill(self.pid, signal.SIGKILL)


class ForkedChild:
    """A fork of a fork server, which may die before it does.

    Parameters
    ----------
    fork_server
        The server that forked it.
    pid
        Its process, as it has said itself.
    """

    def __init__(self, fork_server: ForkServer, pid: int) -> None:
        self._server = fork_server
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
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, if it is still there."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

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


class ForkServers:
    """The fork server in use; a new one takes the place of one that died.

    Parameters
    ----------
    entry
        The module whose ``run`` each fork calls.
    modules
        What each server imports.
    by_fork
        Whether the first is a fork of this process; those after it never are.
    """

    _PATIENCE = 3

    def __init__(self, entry: str, modules: Sequence[str], *, by_fork: bool = False) -> None:
        self._entry = entry
        self._modules = modules
        self._never_ready = 0
        self.current = ForkServer(entry, modules, by_fork=by_fork)

    @property
    def work(self) -> bool:
        """Whether a fork would be made at once, as far as is known."""
        current = self.current
        return current.ready and current.alive and current.silence < _PING_SECONDS

    def supervise(self) -> Ending | None:
        """Listen to the server; start another if it died, and return how it did.

        One that does not answer, since somebody has stopped it, say, is killed.

        Raises
        ------
        FederationError
            If it cannot preload, or died several times over it.
        """
        current = self.current
        if current.alive:
            current.listen()
        if current.alive:
            current.ping()
            if current.silence > _SILENT_SECONDS:
                current.kill()
            return None
        if current.failure is not None:
            raise FederationError(current.failure)
        how = current.how_server_ended()
        self._never_ready = 0 if current.ready else self._never_ready + 1
        if self._never_ready == self._PATIENCE:
            raise FederationError(
                f"The fork server {how} while it imported {', '.join(self._modules)}, "
                f"{self._PATIENCE} times: name fewer modules with --preload, or none."
            )
        current.channel.close()
        self.current = ForkServer(self._entry, self._modules)
        return how
