"""The federation that is attacked: its doors, whom it serves meanwhile, and who attacks it."""

import functools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import SendTaskHeartbeatRequest
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE

from fedstate.accounts.account import Role
from fedstate.accounts.changes import add_account, revoke_account
from fedstate.certificates.keys import ensure_node_key
from fedstate.flower.control import control, load_public_key
from fedstate.local.accounts import accounts_file
from fedstate.local.federation import Federation
from fedstate.local.runs import start, wait_for_runs
from tests.open_directory import new_directory
from tests.stack.conftest import ROOT
from tests.stack.doors.door import Door
from tests.stack.doors.keys import key_in, signed_by_executor
from tests.stack.doors.memory import resident
from tests.stack.doors.routes import HEALTH, Route
from tests.stack.doors.wire import Headers
from tests.waiting import wait_until

VICTIM, INTRUDER = (ROOT / "tests" / "apps" / name for name in ("counting", "telling"))
RUN_SECONDS = 200.0
PROTOBUF = {"Content-Type": PROTOBUF_MEDIA_TYPE}
# Where attackers are who are many, or who hold connections: nobody else is there.
ELSEWHERE = "127.0.0.66"


def slow(some: int, many: int) -> int:
    """Return `many` where the environment variable ``FEDSTATE_SLOW`` is set."""
    return many if os.environ.get("FEDSTATE_SLOW") else some


ROUNDS = slow(8, 60)
MEMORY_BYTES = 50 * 2**20
# flwr logs as an error what it refuses, in one line. A failure of its own, or a traceback, is not
# allowed, but for the intruder's steps: they are stopped with its run, or others end them.
REFUSALS = (
    r"\A(?!.*UnexpectedError)ERROR",
    r"TaskStopped",
    r"HTTPStatusError: Client error '401",
)


@dataclass
class Victim:
    """A run that goes on while the doors are attacked."""

    run_id: int
    result: Path
    go: Path

    def outcome(self) -> dict[str, Any]:
        """Return what its ServerApp has written, in an order that no node ID matters for."""
        found: dict[str, Any] = json.loads(self.result.read_text())
        return found | {"histories": sorted(found["histories"]), "own": sorted(found["own"])}


@dataclass
class Ground:
    """A federation with runs that have something to lose, and an intruder's run beside them."""

    federation: Federation
    directory: Path
    began: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        link = self.federation
        node = link.nodes[0]
        authority = link.root_certificates
        ports = getattr(link, "ports", None)
        at = {name: getattr(ports, name, link.port) for name in ("control", "fleet", "runtime")}
        self.doors = {
            **{name: Door(name, port, link.superlink, authority) for name, port in at.items()},
            "node": Door("node", node.port, node.supernode, authority),
        }
        for door in self.doors.values():
            # Known before there are threads: flwr makes a database in one alone.
            assert door.routes
        self.secrets = {
            "runtime": (link.directory / "superlink" / "superexec.secret").read_bytes(),
            "node": (node.directory / "superexec.secret").read_bytes(),
        }
        ensure_node_key(self.directory / "rogue")
        ensure_node_key(self.directory / "stranger")
        self.rogue, self.stranger = (key_in(self.directory / n) for n in ("rogue", "stranger"))
        with control(link.connection) as api:
            api.register(self.directory / "rogue" / "node.pub")
            ids = {each.public_key: each.node_id for each in api.nodes()}
        # Registered, and never connected: else the victims would send it messages.
        self.rogue_id = ids[load_public_key(self.directory / "rogue" / "node.pub")]
        self.node_ids = [ids[each.public_key] for each in link.nodes]
        self.undisturbed = self._victim(pause=False, seconds=0.0)
        self.intruder: dict[str, Any] = {}
        self.renew_intruder()
        wait_for_runs(link, [self.undisturbed.run_id], RUN_SECONDS)
        # One goes on step by step, the other has a step and its messages under way all the time.
        self.going = self._victim(pause=True, seconds=1.0)
        self.paused = self._victim(pause=True, seconds=0.0)
        wait_until(self.paused.go.with_suffix(".reached").exists, 60, "the step that waits")
        self.servers = (link.superlink, node.supernode)
        self.began = {process.name: resident(process) for process in self.servers}

    def _victim(self, *, pause: bool, seconds: float) -> Victim:
        directory = new_directory()
        victim = Victim(0, directory / "result.json", directory / "go")
        config: dict[str, int | float | str] = {
            "rounds": ROUNDS,
            "pause-round": ROUNDS if seconds else 2,
            "seconds": seconds,
            "result": str(victim.result),
            "pause": str(victim.go) if pause else "",
        }
        victim.run_id = start(self.federation, VICTIM, config)
        return victim

    def renew_intruder(self) -> None:
        """Let a run of an attacker's give away its tokens, unless the last one's still work."""
        if self.intruder and all(self._serves(name) for name in ("runtime", "node")):
            return
        self.end_intruder()
        told = new_directory()
        run_id = start(self.federation, INTRUDER, {"told": str(told)})
        files = [told / "server.json", told / "node-1.json"]
        wait_until(lambda: all(each.exists() for each in files), 60, "the intruder's tokens")
        server, node = (json.loads(each.read_text()) for each in files)
        self.intruder = {"run": run_id, "told": told, "runtime": server, "node": node}

    def end_intruder(self) -> None:
        """Let the intruder's run end."""
        if self.intruder:
            (self.intruder["told"] / "end").touch()

    def task_token(self, door: str) -> dict[str, str]:
        """Return the header of the intruder's task at the SuperLink, or at the SuperNode."""
        return {TASK_TOKEN_HEADER: str(self.intruder[door]["token"])}

    def credentials(self, door: Door, route: Route | None = None, request: Any = None) -> Headers:
        """Return the headers of an attacker who is known at a door, as far as that can be."""
        if door.name == "control":
            return {**PROTOBUF, **self.account}
        if door.name == "fleet":
            return {**PROTOBUF, **self.rogue.signed()}
        if route is not None and route.path.endswith(("/acquire-task", "/wait-for-tasks")):
            signed = signed_by_executor(self.secrets[door.name], request or route.message())  # type: ignore[misc]
            return {**PROTOBUF, **signed}
        return {**PROTOBUF, **self.task_token(door.name)}

    @functools.cached_property
    def account(self) -> dict[str, str]:
        """The header of an account that may do everything."""
        return {"Authorization": f"Bearer {self.federation.connection.token}"}

    @functools.cached_property
    def submitter(self) -> dict[str, str]:
        """The header of an account that may start runs, and see its own."""
        token = add_account(self._accounts, "submitter", Role.SUBMITTER)
        return {"Authorization": f"Bearer {token}"}

    @functools.cached_property
    def revoked(self) -> dict[str, str]:
        """The header of an account that could do everything until it was revoked."""
        token = add_account(self._accounts, "revoked", Role.OPERATOR)
        revoke_account(self._accounts, "revoked")
        return {"Authorization": f"Bearer {token}"}

    @property
    def _accounts(self) -> Path:
        return accounts_file(self.federation.directory / "superlink")

    def not_served(self) -> list[str]:
        """Return who of those that the doors are for is not answered now, as they should be."""
        missing = [
            f"/health at {name}"
            for name, door in self.doors.items()
            if door.ask(HEALTH, method="GET") != 200
        ]
        return missing + [f"a peer at {name}" for name in self.doors if not self._serves(name)]

    def _serves(self, name: str) -> bool:
        door = self.doors[name]
        path, request = self.own_request(name)
        return door.ask(path, self.credentials(door), request) == 200

    def own_request(self, name: str) -> tuple[str, bytes]:
        """Return the path and the body of a request that is answered, and changes nothing."""
        return {
            "control": ("/v1/control/list-nodes", b""),
            "fleet": (
                "/v1/fleet/pull-messages",
                PullMessagesRequest(node=Node(node_id=self.rogue_id)).SerializeToString(),
            ),
            "runtime": ("/v1/runtime/send-task-heartbeat", _HEARTBEAT),
            "node": ("/v1/runtime/send-task-heartbeat", _HEARTBEAT),
        }[name]

    def finish(self) -> None:
        """Let the victims come to their end."""
        for victim in (self.going, self.paused):
            victim.go.touch()
        runs = [self.going.run_id, self.paused.run_id]
        statuses = wait_for_runs(self.federation, runs, RUN_SECONDS)
        assert set(statuses.values()) == {"finished:completed"}, statuses


_HEARTBEAT = SendTaskHeartbeatRequest().SerializeToString()
