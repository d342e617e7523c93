"""The containers of one copy of this repository, in a Compose project of their own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fedstate.accounts.credentials import stored_token
from fedstate.connection import Connection
from fedstate.errors import FederationError
from fedstate.flower.control import Node, control
from tests.stack.conftest import PROGRAMS, ROOT
from tests.waiting import wait_until

NODES = (1, 2, 3)
ONE_SHOTS = ("certs", "publish", *(f"enrol-{k}" for k in NODES))
SERVICES = (
    *("superlink", "serverapp"),
    *(f"{kind}-{k}" for k in NODES for kind in ("supernode", "executor")),
)
# What a clone has and the images or the containers need.
SOURCES = (
    *("docker-compose.yml", "Dockerfile.superlink", "Dockerfile.supernode", ".dockerignore"),
    *("compose", "certs", "requirements", "src", "app", "pyproject.toml", "README.md", "LICENSE"),
)
# Far more than on a machine with nothing else to do.
COMPOSE_SECONDS = 600.0
EXECUTORS = ("serverapp", "executor")
# Prints the processes that are `fedstate executor`: the watch, the executor, its fork server.
FIND_EXECUTORS = """
import pathlib
for process in sorted(pathlib.Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
    try:
        arguments = (process / "cmdline").read_bytes().split(b"\\0")
    except (FileNotFoundError, ProcessLookupError):
        continue  # it has ended meanwhile
    if arguments[1:3] == [b"/opt/venv/bin/fedstate", b"executor"] or (
        b"fedstate.forking.server" in arguments  # one that took the place of the first
    ):
        print(process.name)
"""


class Stack:
    """A federation in containers, started from a copy of this repository's sources.

    Parameters
    ----------
    directory : Path
        Where the copy goes.
    project : str
        The Compose project, which names its containers, volumes, networks and images.
    port : int
        The SuperLink's port on this machine.
    settings : mapping of str to str
        Further variables of ``.env.example``.
    """

    def __init__(
        self, directory: Path, project: str, port: int, settings: Mapping[str, str]
    ) -> None:
        self.directory = directory
        self.project = project
        self.port = port
        self._settings = settings

    @property
    def connection(self) -> Connection:
        """What is generated for this machine; it has the operator's token once that is there."""
        generated = self.directory / "certs" / "generated"
        address = f"127.0.0.1:{self.port}"
        token = stored_token(generated, address)
        return Connection("fedstate", address, generated / "ca.crt", token)

    @property
    def _compose_settings(self) -> dict[str, str]:
        return {
            **self._settings,
            "PWD": str(self.directory),
            "COMPOSE_PROJECT_NAME": self.project,
            "FEDSTATE_PORT": str(self.port),
        }

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which ``flwr`` on this machine finds the SuperLink."""
        return {
            **os.environ,
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "FLWR_HOME": str(self.connection.root_certificates.parent),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
        }

    def copy_sources(self) -> None:
        """Copy what a fresh clone has; what was generated in this one stays behind."""
        ignore = shutil.ignore_patterns("generated", "__pycache__", "*.egg-info")
        for name in SOURCES:
            source, target = ROOT / name, self.directory / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=ignore)
            else:
                shutil.copy(source, target)

    def compose(
        self,
        *arguments: str,
        seconds: float = COMPOSE_SECONDS,
        check: bool = True,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker compose`` in the copy; return what it printed."""
        answer = subprocess.run(
            ["docker", "compose", "--ansi=never", "--progress=plain", *arguments],
            cwd=self.directory,
            env={**os.environ, **self._compose_settings, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or answer.returncode == 0, answer.stdout + answer.stderr
        return answer

    def shell(self, script: str) -> str:
        """Run a shell script in the copy, as a person would; return what it printed."""
        answer = subprocess.run(
            ["sh", "-c", script],
            cwd=self.directory,
            env={**self.environment, **self._compose_settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * COMPOSE_SECONDS,
            check=False,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    def up(self, *, wait: bool = True, **settings: str) -> None:
        """Start everything, and wait until it is healthy and every node is connected.

        With other settings, if some are given. Without ``wait``, nobody waits for what the engine
        thinks of its health.
        """
        options = ["--wait"] if wait else []
        answer = self.compose("up", "--detach", *options, check=False, settings=settings)
        assert answer.returncode == 0, answer.stderr + self.logs()
        self.wait_until_connected()

    def down_by_name(self) -> None:
        """Stop everything as Docker's own tools do, which have no Compose file at hand."""
        _docker("compose", "--project-name", self.project, "down", directory=Path("/"))

    def health(self, service: str) -> str:
        """Return the status of a service's health, such as ``unhealthy``."""
        return str(self.inspect(service)["State"]["Health"]["Status"])

    def wait_until_healthy(self, service: str) -> None:
        """Wait until a service that was restarted is healthy again."""
        wait_until(lambda: self.health(service) == "healthy", 300)

    def wait_until_connected(self) -> None:
        """Wait until the SuperLink has every SuperNode online."""
        wait_until(self._connected, 300)

    def _connected(self) -> bool:
        with contextlib.suppress(FederationError):  # the SuperLink may be about to start
            return sum(node.online for node in self.nodes()) == len(NODES)
        return False

    def nodes(self) -> list[Node]:
        """Return the SuperNodes that the SuperLink knows and that may take part."""
        with control(self.connection) as link:
            return [node for node in link.nodes() if node.status != "unregistered"]

    def tool(self, service: str, *arguments: str, check: bool = True) -> str:
        """Run one of the tools' services to its end; return what it printed."""
        run = ("run", "--rm", "--no-TTY", service)
        return self.compose(*run, *arguments, check=check).stdout

    def run_inside(
        self, service: str, *command: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's container, as the service's user, with no rights."""
        # The containers of executors start as root, which hands its few rights over.
        kind = service.split("-")[0]
        user = ("--user", kind) if kind in EXECUTORS else ()
        return _docker("exec", *user, f"{self.project}-{service}-1", *command, check=check)

    def run_as_root(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's container, as its first process."""
        return _docker("exec", f"{self.project}-{service}-1", *command)

    def executor_processes(self, service: str) -> list[int]:
        """Return the processes of an executor, the one that watches over it first."""
        found = self.run_inside(service, "python3", "-c", FIND_EXECUTORS).stdout.split()
        return [int(pid) for pid in found]

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's container."""
        return _inspect(f"{self.project}-{service}-1")

    def crash(self, service: str) -> None:
        """Kill a container's first process from outside, and wait until it was started again."""
        before = self.inspect(service)
        os.kill(before["State"]["Pid"], signal.SIGKILL)
        wait_until(lambda: self.inspect(service)["RestartCount"] > before["RestartCount"], 60)

    def kill_and_start(self, service: str) -> None:
        """Kill a container by ``docker kill``, which the restart policy leaves alone."""
        _docker("kill", f"{self.project}-{service}-1")
        _docker("start", f"{self.project}-{service}-1")

    def start(self, *services: str) -> None:
        """Start services that were stopped; wait until they are healthy and nodes connected."""
        _docker("start", *(f"{self.project}-{service}-1" for service in services))
        for service in services:
            self.wait_until_healthy(service)
        self.wait_until_connected()

    def network(self, name: str) -> dict[str, Any]:
        """Return what the engine knows of a network."""
        return _inspect(name)

    def logs(self) -> str:
        """Return the end of every container's output."""
        return self.compose("logs", "--no-color", "--tail=20", check=False).stdout

    def remove(self) -> None:
        """Remove containers, networks, volumes and images."""
        self.compose("down", "--volumes", "--remove-orphans", "--rmi=all", "--timeout=5")


def _docker(
    *arguments: str, check: bool = True, directory: Path | None = None
) -> subprocess.CompletedProcess[str]:
    answer = subprocess.run(
        ["docker", *arguments],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMPOSE_SECONDS,
        check=False,
    )
    assert not check or answer.returncode == 0, answer.stdout + answer.stderr
    return answer


def _inspect(name: str) -> dict[str, Any]:
    (found,) = json.loads(_docker("inspect", name).stdout)
    return dict(found)
