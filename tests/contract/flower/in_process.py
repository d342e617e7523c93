"""flwr's real applications, with what is ours in them, called in this process: no sockets.

Everything between a client's call and the database is what runs in a federation: the client with
its interceptors, flwr's middleware with its authentication, the routers, handlers and states.
"""

import functools
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ArrayRecord, RecordDict
from flwr.cli.build import build_fab_from_disk
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from starlette.testclient import TestClient
from tests.superlink_application import SuperLinkApplication

from fedstate.flower.account_token import AccountToken
from fedstate.flower.control import Control
from fedstate.flower.task_client import TaskClient, task_client
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.flower.tasks import RuntimeApi, TaskSource
from fedstate.superlink.control_door import Door

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

    def runtime_client(self) -> RuntimeHttpClient:
        """Return flwr's client of the Runtime API, as an executor of flwr's has it."""
        client = RuntimeHttpClient.from_server_address(
            self.address,
            insecure=True,
            root_certificates=None,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flower-superexec")],
        )
        return self.reach(client)

    def task_source(self, api: RuntimeApi | None = None) -> TaskSource:
        """Return where an executor of ours takes its tasks from."""
        source = TaskSource(api or RuntimeApi(self.address, insecure=True))
        self.reach(source._client)
        return source

    def acquire(self, kind: TaskKind) -> TaskOrder | None:
        """Acquire a task as our executor does; return what its process is given, or None."""
        with self.task_source() as source:
            return source.acquire([kind])

    def task_client(self, order: TaskOrder) -> TaskClient:
        """Return the client of a task's process."""
        return self.reach(task_client(order))


class SuperLink(SuperLinkApplication, Server):
    """Our SuperLink."""

    def __init__(
        self,
        directory: Path,
        *,
        ours: bool = True,
        database: str | None = None,
        door: Door | None = None,
    ) -> None:
        SuperLinkApplication.__init__(self, directory, ours=ours, database=database, door=door)
        Server.__init__(self, self.app, "superlink:1")

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        self.close()

    @property
    def transport(self) -> httpx.BaseTransport:
        """What carries requests to it."""
        transport: httpx.BaseTransport = self._client._transport
        return transport

    def control(self, token: str | None = None) -> Control:
        """Return a client of the Control API, with the token of an account or without."""
        client = ControlHttpClient.from_server_address(
            self.address,
            insecure=True,
            root_certificates=None,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="fedstate"),
                *([AccountToken(token)] if token else []),
            ],
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
