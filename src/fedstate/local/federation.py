"""A SuperLink, SuperNodes and their executors as processes on this machine.

The same federation as the containers': TLS everywhere, node authentication, and `process`
isolation with every app in an executor of its own.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.certificates.keys import ensure_node_key, ensure_secret
from fedstate.connection import Connection, write_connection
from fedstate.errors import FederationError, SettingError
from fedstate.files import make_directory
from fedstate.flower.control import control, load_public_key
from fedstate.interrupts import uninterrupted
from fedstate.local import accounts, sockets
from fedstate.local.execute import Start
from fedstate.local.launcher import Launcher, shared_launcher
from fedstate.local.log_file import bound_log
from fedstate.local.member import Member
from fedstate.local.ports import LOOPBACK, Ports
from fedstate.local.presence import Presence
from fedstate.local.process import Process, check_port
from fedstate.local.programs import (
    OUR_EXECUTOR,
    OUR_SUPERLINK,
    OUR_SUPERNODE,
    Programs,
    environment,
    located,
    tls_options,
)
from fedstate.local.rooms import FederationRooms
from fedstate.waiting import wait_until

HOSTS = (LOOPBACK, "localhost")
CONNECTION_NAME = "local"
START_SECONDS = 90.0
HEARTBEAT = "heartbeat"
# Beside a node's log, or the SuperLink's: what runs print there.
OUTPUT = "output"
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class LocalNode:
    """A SuperNode and its executor, with everything that is this node's alone."""

    number: int
    directory: Path
    supernode: Process
    executor: Process
    port: int

    @property
    def public_key(self) -> bytes:
        """The node's public key, as the SuperLink keeps it."""
        return load_public_key(self.directory / "node.pub")


class Federation:
    """A federation on this machine, usable as a context manager.

    Parameters
    ----------
    directory : Path
        Where keys, certificates, databases, logs and the records of runs are; what is there is
        used again.
    nodes : int
        How many SuperNodes.
    port : int, optional
        The port of the SuperLink's Control API; without it, a free one. The Fleet API and the
        Runtime API have free ones of their own, unless the program serves all three on one.
    programs : Programs
        What to start.
    start : callable
        How programs are started; without it, by the launcher that the federations of this
        process share, which is much quicker.
    executor_options : sequence of str
        More options of every executor, such as ``("--max-memory", "2g")``.
    supernode_options : sequence of str
        More options of every SuperNode of ours, such as ``("--keep", "10")``.
    progress : callable
        Is told of each step.
    """

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int = 3,
        port: int | None = None,
        programs: Programs | None = None,
        start: Start | None = None,
        executor_options: Sequence[str] = (),
        supernode_options: Sequence[str] = (),
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        if nodes < 1:
            raise SettingError(f"A federation of {nodes} nodes cannot be; ask for 1 or more.")
        # Not `resolve`, which knows no sentence for a link to itself.
        self.directory = Path(os.path.realpath(directory))
        self._programs = programs or Programs()
        self._ours = tuple(self._programs.superlink[:2]) == OUR_SUPERLINK
        self.ports = Ports.free(nodes, control=port, split=self._ours)
        self.port = self.ports.control
        self._progress = progress
        self._start_program = start or shared_launcher()
        self._executor_options = tuple(executor_options)
        self._supernode_options = tuple(supernode_options)
        self._rooms = FederationRooms(self.directory)
        self._presence = Presence(self.directory)
        self._authority = self.directory / "authority"
        self._link_directory = self.directory / "superlink"
        self.root_certificates = self._link_directory / "ca.crt"
        self.connection = Connection(
            CONNECTION_NAME, f"{LOOPBACK}:{self.port}", self.root_certificates
        )
        self.superlink = self._superlink()
        self.serverapp_executor = self._executor(
            "the ServerApp's executor",
            self._programs.serverapp_executor,
            self._link_directory,
            self.ports.runtime,
            has_socket=self._ours,
        )
        self.nodes = [self._node(number, nodes) for number in range(1, nodes + 1)]
        self.members = self._members()

    @property
    def runs_directory(self) -> Path:
        """Where the records of runs are."""
        return self.directory / "runs"

    @property
    def processes(self) -> list[Process]:
        """Everything that runs, in the order of starting."""
        return [member.process for member in self.members]

    @property
    def executors(self) -> list[Process]:
        """The executor of the ServerApps, and those of the nodes."""
        return [self.serverapp_executor, *(node.executor for node in self.nodes)]

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which ``flwr`` and ``fedstate`` find this federation."""
        return {
            **environment(self.directory / "flwr"),
            "FEDSTATE_RUNS": str(self.runs_directory),
        }

    def claim(self) -> None:
        """Make sure that nobody else runs a federation in this directory, if it is there.

        Raises
        ------
        FederationError
            If somebody does; the message names the process.
        SettingError
            If it is not a directory.
        """
        if self.directory.is_dir():
            self._presence.take()
        elif os.path.lexists(self.directory):
            raise SettingError(
                f"{self.directory} is not a directory: name another with --directory."
            )

    def start(self) -> None:
        """Start everything and wait until every SuperNode is connected.

        What an earlier federation in this directory left running, since its process was killed,
        is ended first.

        Raises
        ------
        FederationError
            If another federation runs in this directory, a port is taken, a process does not
            start, or a SuperNode does not connect; the message names it. What was started by
            then is stopped.
        """
        self.claim()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, apps first, the SuperLink last."""
        with uninterrupted():
            for member in reversed(self.members):
                member.stop()
            self._rooms.remove_if_empty()
            self._presence.release()

    def note(self) -> None:
        """Write down what runs, and how, for the commands that are asked about it."""
        self._presence.write(self.connection.address, self.members)

    def missing_walls(self) -> str | None:
        """Return in one line what does not keep runs apart on this machine; None if all does.

        Only where this is the one thread of Python, and before the federation is started.
        """
        return self._rooms.missing_walls()

    def bound_logs(self) -> None:
        """Keep the logs of the processes from growing without end."""
        for process in self.processes:
            bound_log(process.log_file)

    def wait_until_connected(self, seconds: float = START_SECONDS) -> None:
        """Wait until every SuperNode is connected to the SuperLink.

        Raises
        ------
        FederationError
            If one is not within ``seconds``; the message names it and shows its log.
        """
        missing = self.nodes
        with control(self.connection) as link:

            def decided() -> bool:
                nonlocal missing
                online = {node.public_key for node in link.nodes() if node.online}
                missing = [node for node in self.nodes if node.public_key not in online]
                return not missing or not all(node.supernode.running for node in missing)

            wait_until(decided, seconds, poll_seconds=POLL_SECONDS)
        if missing:
            lost = [node for node in missing if not node.supernode.running]
            node = (lost or missing)[0]
            raise FederationError(
                f"{node.supernode.name} did not connect to the SuperLink within "
                f"{seconds:.0f} s. {node.supernode.log_end()}"
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._progress("making certificates and keys")
        if isinstance(self._start_program, Launcher):
            self._start_program.warm_up([process.command for process in self.processes])
        check_port(self.port)
        make_directory(self.directory)
        self.claim()
        if left := self._presence.end_leftovers():
            self._progress(f"{left} processes that were left running are ended")
        self._make_certificates()
        self._rooms.prepare()
        if self._ours:
            token = accounts.operator_token(self._link_directory)
            self.connection = replace(self.connection, token=token)
        write_connection(self.connection, default=True, home=self.directory / "flwr")
        self._progress("starting the SuperLink")
        self._launch(self.superlink)
        self.superlink.wait_until_healthy(self.port, self.root_certificates, START_SECONDS)
        self._progress(f"starting {len(self.nodes)} SuperNodes")
        with control(self.connection) as link:
            for node in self.nodes:
                link.register(node.directory / "node.pub")
        for node in self.nodes:
            self._launch(node.supernode)
        for node in self.nodes:
            node.supernode.wait_until_healthy(node.port, self.root_certificates, START_SECONDS)
        # The executors last: what they preload takes longest to import.
        self._progress("starting the executors")
        for executor in self.executors:
            self._launch(executor)
        self.wait_until_connected()

    def _launch(self, process: Process) -> None:
        (member,) = (each for each in self.members if each.process is process)
        member.start()
        self.note()

    def _make_certificates(self) -> None:
        authority = ensure_authority(self._authority)
        directories = [self._link_directory, *(node.directory for node in self.nodes)]
        for directory in directories:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            ensure_server_certificate(directory, authority, HOSTS)
            ensure_secret(directory / "superexec.secret")
            sockets.prepare(directory)
        for node in self.nodes:
            ensure_node_key(node.directory)

    def _superlink(self) -> Process:
        here = self._link_directory
        command = [
            *located(self._programs.superlink),
            *tls_options(here),
            *self.ports.superlink_options,
            *("--database", str(here / "superlink.db")),
            *(accounts.options(here) if self._ours else []),
            *(sockets.options(here) if self._ours else []),
            "--enable-supernode-auth",
            "--disable-runtime-dependency-installation",
        ]
        return self._process("the SuperLink", command, here / "flwr", here / "log")

    def _node(self, number: int, count: int) -> LocalNode:
        here, port = self.directory / f"node-{number}", self.ports.nodes[number - 1]
        name = f"SuperNode {number}"
        command = [
            *located(self._programs.supernode),
            *("--superlink", f"{LOOPBACK}:{self.ports.fleet}"),
            *("--root-certificates", str(self.root_certificates)),
            *("--auth-supernode-private-key", str(here / "node.key")),
            *("--node-config", f"partition-id={number - 1} num-partitions={count}"),
            *tls_options(here),
            *("--host", LOOPBACK, "--port", str(port)),
        ]
        ours = tuple(self._programs.supernode[:2]) == OUR_SUPERNODE
        if ours:
            command += [*sockets.options(here), *("--output", str(here / OUTPUT))]
            command += self._supernode_options
        supernode = self._process(name, command, here / "flwr", here / "log")
        executor = self._executor(
            f"{name}'s executor", self._programs.clientapp_executor, here, port, has_socket=ours
        )
        return LocalNode(number, here, supernode, executor, port)

    def _executor(
        self, name: str, program: Sequence[str], owner: Path, port: int, *, has_socket: bool
    ) -> Process:
        command = [
            *located(program),
            *("--runtime-api-address", f"{LOOPBACK}:{port}"),
            *("--root-certificates", str(self.root_certificates)),
            *("--superexec-auth-secret-file", str(owner / "superexec.secret")),
        ]
        here = owner / "executor"
        if tuple(program[:2]) == OUR_EXECUTOR:
            command += [
                *("--heartbeat-file", str(here / HEARTBEAT)),
                *("--rooms", str(self._rooms.of(owner.name))),
                *("--output", str(owner / OUTPUT)),
                *self._closed(port),
                *(sockets.options(owner) if has_socket else []),
                *self._executor_options,
            ]
        return self._process(
            name,
            command,
            here / "flwr",
            here / "log",
            FEDSTATE_RUNS=str(self.runs_directory),
            FEDSTATE_ENGINE="processes",
        )

    def _members(self) -> list[Member]:
        """Return everything that runs, in the order of starting, by the names of `up`."""
        pairs = [
            ("superlink", self.superlink, self.ports.control),
            ("serverapp-executor", self.serverapp_executor, None),
        ]
        for node in self.nodes:
            pairs += [
                (f"supernode-{node.number}", node.supernode, node.port),
                (f"executor-{node.number}", node.executor, None),
            ]
        return [
            Member(name, process, self.root_certificates, port=port)
            for name, process, port in pairs
        ]

    def _closed(self, own_port: int) -> list[str]:
        """Return what of this federation is closed to the apps that an executor runs."""
        directories = (self.directory, self._rooms.directory)
        closed = [("--closed-directory", str(path)) for path in directories]
        closed += [("--closed-port", str(port)) for port in self.ports.closed_to(own_port)]
        return [part for option in closed for part in option]

    def _process(
        self, name: str, command: list[str], flwr_home: Path, log: Path, **variables: str
    ) -> Process:
        own = environment(flwr_home) | variables
        return Process(name, command, own, log, self._start_program)
