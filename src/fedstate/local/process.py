"""One process of the local federation: started, watched, and stopped."""

import contextlib
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedstate.errors import FederationError, SettingError
from fedstate.forking.ending import Ending
from fedstate.interrupts import uninterrupted
from fedstate.local.execute import Start, Started, execute
from fedstate.local.launcher import UNSEEN, Launcher
from fedstate.local.log_file import bound_log
from fedstate.waiting import wait_until

STOP_SECONDS = 15.0
LOG_LINES = 5
_LINE_BYTES = 4096
FREE_PORTS = (20000, 32000)
# Whoever was given a port so many ports ago has taken it by now.
_MOST_RESERVED = 128
_reserved: list[socket.socket] = []


class Process:
    """A program that runs until it is stopped, with its output in a log file.

    Parameters
    ----------
    name : str
        What messages call it.
    command : sequence of str
        The program and its arguments.
    environment : mapping of str to str
        All of its environment.
    log_file : Path
        Where its output goes; appended to.
    start : callable
        How it is started: from nothing, or by a launcher.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_file: Path,
        start: Start = execute,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self.command = list(command)
        self._environment = dict(environment)
        self._start = start
        self._started: Started | None = None

    @property
    def pid(self) -> int:
        """The process id of the running process."""
        if self._started is None:
            raise FederationError(f"{self.name} has not been started.")
        return self._started.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._started is not None and self._started.poll() is None

    @property
    def ending(self) -> Ending:
        """How it ended; it is not running."""
        code = None if self._started is None else self._started.returncode
        return Ending(None if code == UNSEEN else code)

    def start(self) -> None:
        """Start the program, in a process group of its own."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        bound_log(self.log_file)
        if isinstance(self._start, Launcher):
            self._start.wait_until_warm(self.command)
        with uninterrupted():
            self._started = self._start(self.command, self._environment, self.log_file)

    def wait_until_healthy(self, port: int, root_certificates: Path, seconds: float) -> None:
        """Wait until ``/health`` answers over TLS.

        Raises
        ------
        FederationError
            If the process ends first, or does not answer within ``seconds``.
        """

        def healthy() -> bool:
            if self.answers(port, root_certificates):
                return True
            if not self.running:
                raise FederationError(f"{self.name} ended while starting. {self.log_end()}")
            return False

        if not wait_until(healthy, seconds):
            raise FederationError(
                f"{self.name} does not answer on port {port} after {seconds:.0f} s. "
                f"{self.log_end()}"
            )

    def answers(self, port: int, root_certificates: Path) -> bool:
        """Return whether ``/health`` answers over TLS."""
        context = ssl.create_default_context(cafile=str(root_certificates))
        return _is_healthy(port, context)

    def stop(self) -> None:
        """End the process and everything it started: asked first, made to after 15 s."""
        if self._started is None:
            return
        if self._started.poll() is None:
            self._started.terminate()
            try:
                self._started.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._started.kill()
                self._started.wait()
        self._signal_group(signal.SIGKILL)

    def kill(self) -> None:
        """End the process and everything it started at once, as a crash would."""
        if self._started is not None:
            self._signal_group(signal.SIGKILL)
            self._started.wait()

    def log_end(self) -> str:
        """Return a sentence with the last lines of its log."""
        try:
            lines = last_lines(self.log_file, LOG_LINES)
        except OSError as error:
            return f"Its log {self.log_file} cannot be read ({error.strerror})."
        tail = "\n  ".join(lines)
        return f"Its log {self.log_file} ends with:\n  {tail}"

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # nobody of the group is left
            os.killpg(self.pid, number)


def last_lines(file: Path, count: int) -> list[str]:
    """Return the last lines of a text, of which it reads no more than they may take.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with file.open("rb") as text:
        size = text.seek(0, os.SEEK_END)
        text.seek(max(0, size - count * _LINE_BYTES))
        return text.read().decode(errors="replace").strip().splitlines()[-count:]


def free_port() -> int:
    """Return a port on 127.0.0.1 that nobody listens on.

    It lies below those that the system gives to outgoing connections, one of which could take it
    before the program does that it is meant for. No other process is given it by this function
    meanwhile.
    """
    while True:
        # Not of the seed that an app or a test may have given Python's generator: another process
        # with the same seed would try the same ports.
        port = random.SystemRandom().randint(*FREE_PORTS)
        if not _reserve(port):
            continue
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def _reserve(port: int) -> bool:
    """Keep a port from others who look for one, for as long as this process lives, or so."""
    if not sys.platform.startswith("linux"):
        return True
    # An abstract socket: a name that is one process's alone, and goes with it.
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        held.bind(f"\0fedstate-port-{port}")
    except OSError:
        held.close()
        return False
    _reserved.append(held)
    if len(_reserved) > _MOST_RESERVED:
        _reserved.pop(0).close()
    return True


def check_port(port: int) -> None:
    """Make sure that a port on 127.0.0.1 can be listened on.

    Raises
    ------
    FederationError
        If it is taken.
    SettingError
        If there is no such port.
    """
    if not 0 < port < 2**16:
        raise SettingError(f"Port {port} cannot be; choose one from 1 to 65535 with --port.")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise FederationError(
                f"Port {port} on 127.0.0.1 cannot be used ({error.strerror}); "
                "stop what listens there, or choose another with --port."
            ) from None


def _is_healthy(port: int, context: ssl.SSLContext) -> bool:
    url = f"https://127.0.0.1:{port}/health"
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.URLError):
        return False
