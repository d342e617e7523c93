"""Installations that are attacked: plain processes, as root and without, and containers."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from fedstate.accounts.credentials import stored_token
from fedstate.connection import Connection
from fedstate.walls.landlock import abi
from tests.stack.conftest import ROOT

NOBODY = 65534
STATE = "/var/lib/fedstate"
# Small enough that a bomb reaches them within seconds, on a machine of two cores.
LIMITS = {
    "--max-processes": "150",
    "--max-open-files": "2000",
    "--max-memory": "600m",
    "--max-files": "150m",
}
REACH = {
    "processes": 400,
    "memory": 1200 * 2**20,
    "descriptors": 10_000,
    "files": 400 * 2**20,
    "inodes": 60_000,
    "output": 200 * 2**20,
    "line": 300 * 2**20,
    "buffers": 64 * 2**20,
}


class Ground(Protocol):
    """An installation with at least two nodes, all of whose programs run on this machine."""

    mode: str
    reach: Mapping[str, int]

    @property
    def directory(self) -> Path:
        """Where to look when a run does not end."""

    @property
    def connection(self) -> Connection:
        """The SuperLink's connection."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment in which ``flwr`` finds that connection."""

    def executors(self) -> list[int]:
        """Return the first process of the executor of each node."""

    def server_executor(self) -> int:
        """Return the first process of the ServerApps' executor."""

    def services(self, executor: int) -> dict[str, int]:
        """Return other programs' processes that an app beside this executor could name."""

    def files(self, executor: int) -> dict[str, str]:
        """Return what an app beside this executor must not read."""

    def directories(self, executor: int) -> dict[str, str]:
        """Return where an app beside this executor must not write."""

    def addresses(self, executor: int) -> dict[str, str]:
        """Return whom an app beside this executor must not reach."""

    def belongings(self) -> dict[str, str]:
        """Return what else whoever runs the executors has: a terminal, a program's socket."""

    def root_of(self, executor: int) -> Path:
        """Return the root directory that an executor has, as this process sees it."""


class Plain:
    """Plain processes on this machine, of root or of somebody else."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.reach: Mapping[str, int] = REACH
        self._user = NOBODY if mode == "landlock" and os.getuid() == 0 else None
        # Where a user of its own finds the way to: pytest's directories are closed to others.
        self._top = Path(tempfile.mkdtemp(prefix="hostile-"))
        self._top.chmod(0o711)
        self.home = self._top / "home"
        self.home.mkdir(mode=0o700)
        self.directory = self._top / "federation"
        self.directory.mkdir(mode=0o700)
        self._program: subprocess.Popen[str] | None = None
        self._said: dict[str, Any] = {}

    @property
    def connection(self) -> Connection:
        certificates = self.directory / "superlink" / "ca.crt"
        address = str(self._said["address"])
        token = stored_token(self.directory / "flwr", address)
        return Connection("local", address, certificates, token)

    @property
    def environment(self) -> Mapping[str, str]:
        return dict(self._said["environment"])

    def start(self) -> None:
        """Start everything; what belongs to the federation belongs to its user."""
        if self._user is not None:
            for path in (self.home, self.directory):
                os.chown(path, self._user, self._user)
        self._program = subprocess.Popen(
            [
                *as_user(self._user),
                *(sys.executable, "-m", "tests.hostile.federated", str(self.directory)),
                *_limits(),
            ],
            cwd=ROOT,
            env={**os.environ, "HOME": str(self.home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._program.stdout is not None
        said = self._program.stdout.readline()
        assert said, "the federation does not start"
        self._said = json.loads(said)

    def remove(self) -> None:
        """Stop everything, and forget it."""
        if self._program is not None:
            self._program.communicate("", timeout=90)
        shutil.rmtree(self._top)

    def logs(self) -> str:
        """Return the end of every log."""
        logs = [Path(log) for log in self._said.get("logs", [])]
        return "\n".join(f"{log}:\n{log.read_text(errors='replace')[-2000:]}" for log in logs)

    def executors(self) -> list[int]:
        return list(self._said["executors"])

    def server_executor(self) -> int:
        return int(self._said["server executor"])

    def _node(self, executor: int) -> int:
        """Return the number of an executor's node; 0 for the SuperLink."""
        return [self.server_executor(), *self.executors()].index(executor)

    def services(self, executor: int) -> dict[str, int]:
        return {name: pid for name, pid in self._said["processes"].items() if pid != executor}

    def _place(self, number: int) -> Path:
        return self.directory / (f"node-{number}" if number else "superlink")

    def files(self, executor: int) -> dict[str, str]:
        here = self._place(self._node(executor))
        other = self._place(1 if self._node(executor) == 2 else 2)
        found = {
            "executor secret": here / "superexec.secret",
            "other executor's secret": other / "superexec.secret",
            "node key": self._place(1) / "node.key",
            "other node's key": other / "node.key",
            "server key": self._place(0) / "server.key",
            "authority key": self.directory / "authority" / "ca.key",
            "superlink database": self._place(0) / "superlink.db",
            "node store": next(self._place(1).rglob("*.db")),
            "executor log": here / "executor" / "log",
        }
        missing = [name for name, path in found.items() if not path.is_file()]
        assert not missing, f"there is no {missing} to attack in {self.directory}"
        return {name: str(path) for name, path in found.items()}

    def directories(self, executor: int) -> dict[str, str]:
        return {
            "executor": str(self._place(self._node(executor)) / "executor"),
            "executor home": str(self.home),
            "node": str(self._place(1)),
            "superlink": str(self._place(0)),
            "authority": str(self.directory / "authority"),
            "runs": str(self.directory / "runs"),
        }

    def addresses(self, executor: int) -> dict[str, str]:
        number = self._node(executor)
        others = {
            f"SuperNode {each}": f"127.0.0.1:{port}"
            for each, port in enumerate(self._said["ports"], start=1)
            if each != number
        }
        apis = dict(self._said["apis"])
        if not number:  # a ServerApp's own
            del apis["Runtime API"]
        return others | {name: f"127.0.0.1:{port}" for name, port in apis.items()}

    def belongings(self) -> dict[str, str]:
        return {name: str(self._said[name]) for name in ("terminal", "agent")}

    def root_of(self, executor: int) -> Path:  # noqa: ARG002
        return Path("/")


def _limits() -> list[str]:
    options = (ROOT / "src" / "fedstate" / "cli" / "executor.py").read_text()
    if "max_processes" not in options:  # the executor has none yet
        return []
    return [word for pair in LIMITS.items() for word in pair]


def as_user(user: int | None) -> list[str]:
    """Return what stands before a command, so that other users can read this Python.

    A Python below a home directory of mode 0700 is shown to the programs, and to nobody else,
    in a mount namespace of their own.
    """
    script = ""
    if os.getuid() == 0 and (way := _closed_on_the_way()):
        script = (
            f"mount --make-rprivate / && mkdir -p /mnt && mount --bind {sys.base_prefix} /mnt && "
            f"mount -t tmpfs -o mode=711 tmpfs {way} && mkdir -p {sys.base_prefix} && "
            f"mount --move /mnt {sys.base_prefix} && "
        )
    drop = f"setpriv --reuid {user} --regid {user} --clear-groups " if user is not None else ""
    if not script and not drop:
        return []
    shell = ["sh", "-c", f'{script} exec {drop} "$@"', "sh"]
    return ["unshare", "--mount", *shell] if script else shell


def _closed_on_the_way() -> Path | None:
    """Return the first directory above this Python that others may not enter."""
    for directory in reversed(Path(sys.base_prefix).parents):
        if not directory.stat().st_mode & 0o001:
            return directory
    return None


def why_not(mode: str) -> str | None:
    """Return why plain processes of this kind cannot be attacked here; None if they can."""
    if mode == "root" and os.getuid() != 0:
        return "a user for each run needs root"
    if mode == "landlock" and not abi():
        return "this kernel has no Landlock"
    answer = subprocess.run(
        [*as_user(NOBODY if os.getuid() == 0 else None), sys.executable, "-c", "import flwr"],
        cwd="/",
        env={**os.environ, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        return f"another user cannot run {sys.executable}: {answer.stderr.strip()[-300:]}"
    return None


class Containers:
    """The federation of Compose; its executors' processes as this machine sees them."""

    mode = "containers"
    reach: Mapping[str, int] = REACH

    def __init__(self, stack: Any, nodes: Sequence[int]) -> None:
        self._stack = stack
        self._nodes = nodes
        self.directory = stack.directory
        self.connection = stack.connection
        self.environment = stack.environment
        self._listeners: dict[str, socket.socket] = {}
        self._pids = {
            service: int(stack.inspect(service)["State"]["Pid"])
            for service in ("serverapp", *(f"executor-{k}" for k in nodes))
        }

    def executors(self) -> list[int]:
        return [self._pids[f"executor-{k}"] for k in self._nodes]

    def server_executor(self) -> int:
        return self._pids["serverapp"]

    def _service(self, executor: int) -> str:
        return next(name for name, pid in self._pids.items() if pid == executor)

    def services(self, executor: int) -> dict[str, int]:  # noqa: ARG002
        return {}

    def files(self, executor: int) -> dict[str, str]:  # noqa: ARG002
        names = {
            "executor secret": "runtime/superexec.secret",
            "node key": "identity/node.key",
            "server key": "identity/server.key",
            "authority key": "identity/authority/ca.key",
            "node store": "state/node.db",
            "superlink database": "state/superlink.db",
        }
        return {name: f"{STATE}/{path}" for name, path in names.items()}

    def directories(self, executor: int) -> dict[str, str]:
        environment = Path(f"/proc/{executor}/environ").read_bytes().decode().split("\0")
        home = dict(line.split("=", 1) for line in environment if "=" in line).get("HOME", "/tmp")  # noqa: S108
        return {
            "executor": f"{STATE}/runtime",
            "node": f"{STATE}/state",
            "runs": f"{STATE}/runs",
            "executor home": home,
        }

    def addresses(self, executor: int) -> dict[str, str]:
        own = self._service(executor)
        number = own.rpartition("-")[2]
        found = {}
        for service, port in (
            *((f"supernode-{k}", 9094) for k in self._nodes if str(k) != number),
            *(("superlink", port) for port in (8000, 8001)),
            *([("superlink", 8002)] if own != "serverapp" else []),
        ):
            networks = self._stack.inspect(service)["NetworkSettings"]["Networks"].values()
            found[f"{service}:{port}"] = ",".join(
                f"{network['IPAddress']}:{port}" for network in networks
            )
        for name in self._stack.inspect(own)["NetworkSettings"]["Networks"]:
            gateway = self._stack.network(name)["IPAM"]["Config"][0].get("Gateway")
            if gateway:
                found[f"this machine by {name}"] = f"{gateway}:{self._listen(gateway)}"
        return found

    def _listen(self, address: str) -> int:
        """Listen on this machine's own address in a network of the containers, if it has one."""
        if address not in self._listeners:
            listener = socket.socket()
            try:
                listener.bind((address, 0))
            except OSError:  # the network has none, and nobody is to be reached by it
                listener.close()
                return 22
            listener.listen()
            self._listeners[address] = listener
        return int(self._listeners[address].getsockname()[1])

    def close(self) -> None:
        """Listen no longer."""
        for listener in self._listeners.values():
            listener.close()

    def belongings(self) -> dict[str, str]:
        return {}

    def root_of(self, executor: int) -> Path:
        return Path(f"/proc/{executor}/root")
