"""Starting the programs of federations: those of fedstate as forks, so that they start at once.

SuperLink, SuperNodes and executors each take one to four seconds of a core to import flwr, and
an executor five for TensorFlow. On one machine it is enough that one process has done so.
"""

import atexit
import functools
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from fedstate.errors import FederationError, SettingError
from fedstate.executor import preload
from fedstate.forking.channel import Channel
from fedstate.forking.supervisor import ForkedChild, ForkServer
from fedstate.local.execute import Started, execute
from fedstate.local.programs import tensorflow_log_level
from fedstate.waiting import wait_until

_ENTRY = "fedstate.local.launched"
_COMMAND_LINE = "fedstate.cli"
_SERVERS = (_COMMAND_LINE, "fedstate.superlink.options", "fedstate.supernode.options")
_EXECUTOR = (_COMMAND_LINE, "fedstate.executor.main")
_WARM_SECONDS = 120.0
_LISTEN_SECONDS = 1.0
_POLL_SECONDS = 0.02
_SAID_LINES = 10
UNSEEN = -1  # its fork server died, and nobody else saw how it ended


@functools.cache
def shared_launcher() -> "Launcher":
    """Return the launcher of all federations of this process; it ends with the process."""
    launcher = Launcher()
    atexit.register(launcher.close)
    return launcher


class Launcher:
    """Starts programs of fedstate as forks, and any other as `execute` does.

    It keeps a fork server for SuperLinks and SuperNodes, and one for each set of modules that
    executors preload. They end with it; the programs do not.
    """

    def __init__(self) -> None:
        self._servers: dict[tuple[str, ...], ForkServer] = {}
        # What is said while modules are imported: of no interest, unless the import fails.
        self._outputs: dict[tuple[str, ...], IO[bytes]] = {}
        self._lock = threading.RLock()

    def warm_up(self, commands: Sequence[Sequence[str]]) -> None:
        """Begin to import what these programs need, and do not wait for it."""
        for command in commands:
            if (modules := _modules(command)) is not None:
                self._server(modules)

    def wait_until_warm(self, command: Sequence[str]) -> None:
        """Wait until this program would start at once.

        Raises
        ------
        FederationError
            If what it needs cannot be imported.
        """
        if (modules := _modules(command)) is None:
            return
        server = self._server(modules)

        def listen(seconds: float) -> None:
            select.select([server.channel], [], [], seconds)
            with self._lock:
                server.listen()

        wait_until(
            lambda: server.ready or not server.alive,
            _WARM_SECONDS,
            poll_seconds=_LISTEN_SECONDS,
            sleep=listen,
        )
        if not server.ready:
            why = server.failure or (
                f"it is still being imported after {_WARM_SECONDS:.0f} s"
                if server.alive
                else f"the process that imports it {server.how_server_ended()}"
            )
            said = self._said(modules)
            raise FederationError(f"What the {command[1]} needs does not load: {why}{said}")

    def __call__(
        self, command: Sequence[str], environment: Mapping[str, str], log_file: Path
    ) -> Started:
        """Start a program, as `execute` does.

        Raises
        ------
        FederationError
            If what it needs cannot be imported.
        OSError
            If the log file cannot be written.
        """
        if (modules := _modules(command)) is None:
            return execute(command, environment, log_file)
        self.wait_until_warm(command)
        program = {
            "command": list(command),
            "environment": dict(environment),
            "directory": str(Path.cwd()),
            "log_file": str(log_file.absolute()),
        }
        log_file.open("ab").close()  # what is wrong with it is said here, and nothing is started
        with self._lock:
            return _Launched(self._server(modules), self._lock, program)

    def close(self) -> None:
        """End the fork servers."""
        with self._lock:
            for server in self._servers.values():
                server.close()
            self._servers.clear()
            for output in self._outputs.values():
                output.close()
            self._outputs.clear()

    def _said(self, modules: tuple[str, ...]) -> str:
        """Return the end of what a fork server has said, for the end of a sentence."""
        output = self._outputs[modules].fileno()
        # The place at which it writes is the fork servers'.
        said = os.pread(output, os.fstat(output).st_size, 0)
        lines = said.decode(errors="replace").strip().splitlines()[-_SAID_LINES:]
        return "".join(["\nIt said:", *(f"\n  {line}" for line in lines)]) if lines else ""

    def _server(self, modules: tuple[str, ...]) -> ForkServer:
        with self._lock:
            server = self._servers.get(modules)
            if server is not None and server.alive:
                server.listen()
            if server is None or not server.alive:
                environment = {
                    **os.environ,
                    "FLWR_TELEMETRY_ENABLED": "0",
                    "TF_CPP_MIN_LOG_LEVEL": tensorflow_log_level(),
                }
                if modules not in self._outputs:
                    self._outputs[modules] = tempfile.TemporaryFile()  # noqa: SIM115 - `close`
                output = self._outputs[modules]
                server = ForkServer(
                    _ENTRY, modules, environment=environment, session=True, output=output
                )
                self._servers[modules] = server
            return server


def _modules(command: Sequence[str]) -> tuple[str, ...] | None:
    """Return what a program imports; None for one that is to be executed."""
    if Path(command[0]).name != "fedstate" or not sys.platform.startswith("linux"):
        return None
    match command[1]:
        case "superlink" | "supernode":
            return _SERVERS
        case "executor":
            try:
                return (*_EXECUTOR, *(preload.modules_of(_preload_of(command)) or ()))
            except SettingError:
                return None  # it says so itself
    return None


def _preload_of(command: Sequence[str]) -> str:
    """Return an executor's setting ``--preload``: the last on its command line counts."""
    setting = os.environ.get("FEDSTATE_EXECUTOR_PRELOAD") or preload.AUTO
    for option, value in zip(command, [*command[1:], ""], strict=True):
        if option == "--preload":
            setting = value
        elif option.startswith("--preload="):
            setting = option.partition("=")[2]
    return setting


class _Launched:
    """A program that a fork server was asked for."""

    def __init__(
        self, server: ForkServer, lock: threading.RLock, program: Mapping[str, object]
    ) -> None:
        self._server = server
        self._lock = lock
        self.returncode: int | None = None
        channel = server.fork()
        channel.socket.setblocking(True)
        self.pid = _pid(channel)
        self._child = ForkedChild(server, self.pid)
        channel.send(program)
        channel.close()

    def poll(self) -> int | None:
        """Return how it ended, as `subprocess.Popen` does; None while it lives."""
        with self._lock:
            if self.returncode is None:
                if self._server.alive:
                    self._server.listen()
                if (ending := self._child.poll()) is not None:
                    self.returncode = UNSEEN if ending.code is None else ending.code
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, or raise `subprocess.TimeoutExpired`."""
        seconds = math.inf if timeout is None else timeout
        wait_until(lambda: self.poll() is not None, seconds, poll_seconds=_POLL_SECONDS)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", seconds)
        return self.returncode

    def terminate(self) -> None:
        """Ask it to end."""
        self._child.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()


def _pid(channel: Channel) -> int:
    """Wait for a fork to say who it is."""
    while not channel.ended:
        for message in channel.receive():
            return int(message["pid"])
    raise FederationError("A process that starts programs ended; start the federation again.")
