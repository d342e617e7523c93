"""One process of the local federation: started, watched, and stopped."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedstate.errors import FederationError
from fedstate.interrupts import uninterrupted

POLL_SECONDS = 0.1
STOP_SECONDS = 15.0
LOG_LINES = 5


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
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_file: Path,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self._command = list(command)
        self._environment = dict(environment)
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running process."""
        if self._popen is None:
            raise FederationError(f"{self.name} has not been started.")
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start the program, in a process group of its own."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log, uninterrupted():
            self._popen = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for whoever runs the federation; it then stops its
                # processes in order.
                start_new_session=True,
            )

    def wait_until_healthy(self, port: int, root_certificates: Path, seconds: float) -> None:
        """Wait until ``/health`` answers over TLS.

        Raises
        ------
        FederationError
            If the process ends first, or does not answer within ``seconds``.
        """
        deadline = time.monotonic() + seconds
        context = ssl.create_default_context(cafile=str(root_certificates))
        while not _is_healthy(port, context):
            if not self.running:
                raise FederationError(f"{self.name} ended while starting. {self.log_end()}")
            if time.monotonic() > deadline:
                raise FederationError(
                    f"{self.name} does not answer on port {port} after {seconds:.0f} s. "
                    f"{self.log_end()}"
                )
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End the process and everything it started: asked first, made to after 15 s."""
        if self._popen is None:
            return
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        self._signal_group(signal.SIGKILL)

    def kill(self) -> None:
        """End the process and everything it started at once, as a crash would."""
        if self._popen is not None:
            self._signal_group(signal.SIGKILL)
            self._popen.wait()

    def log_end(self) -> str:
        """Return a sentence with the last lines of its log."""
        lines = self.log_file.read_text(errors="replace").strip().splitlines()
        tail = "\n  ".join(lines[-LOG_LINES:])
        return f"Its log {self.log_file} ends with:\n  {tail}"

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # nobody of the group is left
            os.killpg(self.pid, number)


def free_port() -> int:
    """Return a port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def check_port(port: int) -> None:
    """Make sure that a port on 127.0.0.1 can be listened on.

    Raises
    ------
    FederationError
        If it is taken.
    """
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
