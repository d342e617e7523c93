"""flwr's real applications, with what is ours in them, called in this process: no sockets.

Everything between a client's call and the database is what runs in a federation: the client with
its interceptors, flwr's middleware with its authentication, the routers, handlers and states.
"""

import functools
import sys
from pathlib import Path
from typing import Any, Self, TypeVar
from unittest import mock

import httpx
import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ArrayRecord, RecordDict
from flwr.cli.build import build_fab_from_disk
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.superexec.executor.types import ExecutionSpec
from flwr.superlink.cli.flower_superlink import _parse_superlink_lifespan_config
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from starlette.testclient import TestClient

from fedstate.exchange.signals import Signals
from fedstate.flower.control import Control
from fedstate.flower.task_client import TaskClient, task_client
from fedstate.superlink.main import extend, make_app

APP = Path(__file__).parents[2] / "apps" / "counting"
# Longer than a test takes on a machine that is busy.
HEARTBEAT_SECONDS = 600.0
Client = TypeVar("Client", bound=ProtobufClient)


@functools.cache
def counting_fab() -> bytes:
    """Return the FAB of an app."""
    return build_fab_from_disk(APP)


def arrays(*values: float) -> RecordDict:
    """Return records with an array for each value."""
    return RecordDict({"arrays": ArrayRecord([np.full(10, value) for value in values])})


class Server:
    """An application that answers in this process."""

    def __init__(self, app: Any, address: str) -> None:
        self.address = address
        self._client = TestClient(app)

    def __enter__(self) -> Self:
        self._client.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()

    def reach(self, client: Client) -> Client:
        """Let a client of flwr's or ours call the application."""
        theirs = client._client
        theirs.close()
        client._client = httpx.Client(
            transport=self._client._transport, timeout=theirs.timeout, follow_redirects=True
        )
        return client

    def acquire(self, task_type: str) -> ExecutionSpec | None:
        """Acquire a task as an executor does; return what its process is given, or None."""
        client = RuntimeHttpClient.from_server_address(
            self.address,
            insecure=True,
            root_certificates=None,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flower-superexec")],
        )
        with self.reach(client):
            given = client.AcquireTask(AcquireTaskRequest(supported_task_types=[task_type]))
        if not given.HasField("task"):
            return None
        return ExecutionSpec(
            task_type=TaskType(given.task.type),
            runtime_api_address=self.address,
            token=given.token,
            insecure=True,
            root_certificates_path=None,
            runtime_dependency_install=False,
            parent_pid=None,
            suppress_output=False,
            task_id=given.task.task_id,
            fab_hash=given.task.fab_hash,
        )

    def task_client(self, spec: ExecutionSpec) -> TaskClient:
        """Return the client of a task's process."""
        return self.reach(task_client(spec))


class SuperLink(Server):
    """Our SuperLink."""

    def __init__(self, directory: Path) -> None:
        arguments = ["flower-superlink", "--insecure", "--isolation", "process"]
        with mock.patch.object(
            sys, "argv", [*arguments, "--database", str(directory / "link.db")]
        ):
            self.app = make_app(_parse_superlink_lifespan_config())
        self.signals = Signals()
        extend(self.app, self.signals)
        self.state: Any = self.app.state.linkstate_factory.state()
        super().__init__(self.app, "superlink:1")

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        self.state._engine.dispose()

    def control(self) -> Control:
        """Return a client of the Control API."""
        client = ControlHttpClient.from_server_address(
            self.address,
            insecure=True,
            root_certificates=None,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="fedstate")],
        )
        return Control(self.reach(client), self.address)

    def fleet_client(self, key: ec.EllipticCurvePrivateKey) -> FleetHttpClient:
        """Return flwr's client of the Fleet API, which signs with a node's key."""
        client = FleetHttpClient.from_server_address(
            self.address,
            True,
            None,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                NodeAuthHttpInterceptor(key, key.public_key()),
            ],
        )
        return self.reach(client)

    def lapse(self, node_id: int) -> None:
        """Let the last heartbeat of a node lapse."""
        rows = self.state.query(
            "UPDATE node SET online_until = 1 WHERE node_id = :id RETURNING node_id",
            {"id": node_id - 2**64 if node_id >= 2**63 else node_id},
        )
        assert rows, "flwr keeps elsewhere how long a node counts as online"
