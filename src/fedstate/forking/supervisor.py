"""The side that asks for forks: it starts the fork server, and hears how its forks end."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from fedstate.errors import FederationError
from fedstate.forking import server
from fedstate.forking.channel import Channel, MalformedMessageError
from fedstate.forking.ending import Ending
from fedstate.forking.silence import PING_SECONDS, Silence

_STOP_SECONDS = 2.0
# How long a fork server may not answer before another takes its place. Its forks take
# milliseconds; less than the 15 s after which the executor itself would be restarted.
_SILENT_SECONDS = 10.0


class Child(Protocol):
    """A process that was asked for."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def gone(self) -> bool:
        """Whether the process has ended, though nobody may have said how."""

    def poll(self) -> Ending | None:
        """Return how the process ended; None while it lives."""

    def kill(self) -> None:
        """End the process at once."""


class ForeignProcessError(Exception):
    """A fork gave the ID of a process that is none of its fork server's."""


class ForkClient:
    """Whoever asks a process for forks of it.

    Parameters
    ----------
    channel
        The channel to the process.

    Attributes
    ----------
    ready
        Whether the process can fork.
    failure
        Why it cannot, if it has said so.
    answered
        The number of the last ping that it has answered.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.ready = False
        self.failure: str | None = None
        self.answered = 0
        self._pings = 0
        self._exited: dict[int, Ending] = {}
        channel.socket.setblocking(False)

    @property
    def alive(self) -> bool:
        """Whether the process was there when it was last listened to."""
        return not self.channel.ended

    def fork(self, entry: str | None = None) -> Channel:
        """Ask for a fork; return the channel to it, which ends at once if there is none.

        Parameters
        ----------
        entry
            The module whose ``run`` it calls; None for that of every fork.
        """
        channel, theirs = Channel.pair()
        self.channel.send({"fork": entry or True}, descriptor=theirs.fileno())
        theirs.close()
        channel.socket.setblocking(False)
        return channel

    def ping(self) -> int:
        """Ask the process whether it still serves; return the number that `answered` gets."""
        self._pings += 1
        self.channel.send({"ping": self._pings})
        return self._pings

    def listen(self) -> None:
        """Take in what the process has said.

        Raises
        ------
        MalformedMessageError
            If it says what no fork server does.
        """
        for message in self.channel.receive():
            try:
                self.take(message)
            except (KeyError, TypeError, ValueError):
                raise MalformedMessageError("an event that no fork server sends") from None

    def take(self, message: dict[str, Any]) -> None:
        """Take in one message."""
        match message["event"]:
            case "ready":
                self.ready = True
            case "failed":
                self.failure = str(message["reason"])
            case "exited":
                self._exited[int(message["pid"])] = Ending(int(message["status"]))
            case "pong":
                self.answered = int(message["number"])

    def exited(self, pid: int) -> bool:
        """Return whether a fork has ended, of which nobody has asked how yet."""
        return pid in self._exited

    def how_ended(self, pid: int) -> Ending | None:
        """Return how a fork ended, once; None while it lives."""
        return self._exited.pop(pid, None)


class ForkServer(ForkClient):
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
    output
        Where what its imports say goes, such as TensorFlow's greeting; None for this process's
        own output.
    """

    def __init__(
        self,
        entry: str,
        modules: Sequence[str],
        *,
        by_fork: bool = False,
        environment: Mapping[str, str] | None = None,
        session: bool = False,
        output: IO[bytes] | None = None,
    ) -> None:
        channel, theirs = Channel.pair()
        if by_fork:
            self._process: _Forked | subprocess.Popen[bytes] = _Forked(server.fork())
            if self._process.pid == 0:
                channel.close()
                server.run(theirs.detach(), entry, modules)
        else:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", server.__name__),
                    *(str(theirs.fileno()), entry, ",".join(modules)),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=session,
            )
        theirs.close()
        super().__init__(channel)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def kill(self) -> None:
        """End the server at once; its forks live on."""
        self._process.kill()

    def has_forked(self, pid: int) -> bool:
        """Return whether a process is one of its forks, as far as can be seen."""
        return parent_of(pid) in (self.pid, None) or not self.alive

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


def parent_of(pid: int) -> int | None:
    """Return the parent of a process, also of one that has ended; None when it is gone."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name, in parentheses, is the process's own choice.
    return int(line[line.rindex(b")") + 2 :].split()[1])


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
        The process that forked it.
    pid
        Its process, as it has said itself.
    is_one
        Is called with the process ID, when no other process can take it any longer, and says
        whether it is such a fork; without it, whoever said so is believed.

    Raises
    ------
    ForeignProcessError
        If it is another process's ID: it is not to be signalled.
    """

    def __init__(
        self,
        fork_server: ForkClient,
        pid: int,
        is_one: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self._server = fork_server
        self.pid = pid
        try:
            self._handle: int | None = os.pidfd_open(pid)
        except (OSError, OverflowError):
            self._handle = None
        # It is held by now: what is found out of it is of no process that has come after it.
        if not is_one(pid):
            if self._handle is not None:
                os.close(self._handle)
            raise ForeignProcessError(pid)

    @property
    def gone(self) -> bool:
        """Whether the process has ended, though nobody may have said how."""
        if self._handle is None:
            return True
        looks = select.poll()
        looks.register(self._handle, select.POLLIN)
        return bool(looks.poll(0))

    def poll(self) -> Ending | None:
        """Return how the process ended; None while it lives."""
        how = self._server.how_ended(self.pid)
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
        self._silence = Silence(self.current)

    @property
    def work(self) -> bool:
        """Whether a fork would be made at once, as far as is known."""
        return self.current.ready and self.current.alive and self._silence.seconds < PING_SECONDS

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
            self._silence.look()
            if self._silence.seconds > _SILENT_SECONDS:
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
        self._silence = Silence(self.current)
        return how
