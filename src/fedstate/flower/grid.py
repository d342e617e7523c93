"""The Grid that a ServerApp is given, with fewer requests and with notification of replies."""

from dataclasses import dataclass
from typing import Any

from flwr.common.constant import SUPERLINK_NODE_ID

# What a ServerApp's task works on, which the program asks its Grid's client for.
from flwr.proto.runtime_pb2 import PullTaskInputRequest, PullTaskInputResponse

# What flwr's Grid connects with; it makes its client itself.
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
)
from flwr.superlink.grid import HttpGrid

from fedstate.exchange import paths
from fedstate.flower import transport
from fedstate.flower.messages import Node
from fedstate.flower.object_client import BatchingRuntimeClient


@dataclass
class TaskInputKept:
    """What the server has given out for the task of this process, which it does once.

    Attributes
    ----------
    content
        The bytes; None before they were asked for.
    """

    content: bytes | bytearray | None = None


class BatchingGrid(HttpGrid):
    """flwr's Grid with a `BatchingRuntimeClient`, and with our policy of retries.

    Attributes
    ----------
    kept : TaskInputKept
        Where this process keeps what its task works on. Of the class: flwr's program makes the
        Grid, and has no parameter for it.
    authority_file : str, optional
        The file of the authority, which is followed. flwr's program gives what it held once.
    socket : str, optional
        The Unix socket on which the server is reached, in place of its address.
    """

    kept = TaskInputKept()
    authority_file: str | None = None
    socket: str | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._retry_invoker = transport.retry_policy()

    def _connect(self) -> None:
        """Connect as `HttpGrid` does."""
        self._client = transport.connected(
            _KeepingClient,
            self._addr,
            insecure=self._insecure,
            root_certificates=self.authority_file,
            interceptors=[
                self._tracing,
                RuntimeVersionHttpInterceptor(component_name="flwr-serverapp"),
                RuntimeTokenHttpInterceptor(token=self._token),
            ],
            retries=self._retry_invoker,
            socket=self.socket,
        )
        self._client.kept = self.kept

    def wait_for_replies(self, seen: int, seconds: float, until: int = 0) -> int | None:
        """Wait for a notification of replies, as `NotifiedGrid` describes."""
        client = self._runtime_client
        if not isinstance(client, BatchingRuntimeClient):
            return None
        node = Node(node_id=SUPERLINK_NODE_ID)
        waited = client.extra_routes.wait(paths.RUNTIME_WAIT, node, seen, seconds, until=until)
        return None if waited is None else waited.count


class _KeepingClient(BatchingRuntimeClient):
    """A client that keeps what the task works on, and asks for nothing that is kept."""

    kept = TaskInputKept()

    def PullTaskInput(self, request: PullTaskInputRequest) -> PullTaskInputResponse:  # noqa: N802
        """Take what the task works on."""
        if self.kept.content is None:
            self.kept.content = super().PullTaskInput(request).SerializeToString()
        response: PullTaskInputResponse = PullTaskInputResponse.FromString(self.kept.content)
        return response
