"""The Grid that a ServerApp is given, with fewer requests and with notification of replies."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from flwr.app import Message
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
from fedstate.flower.serverapp_client import ServerAppClient


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
    """flwr's Grid with a `ServerAppClient`, and with our policy of retries.

    Attributes
    ----------
    kept : TaskInputKept
        Where this process keeps what its task works on. Of the class: flwr's program makes the
        Grid, and has no parameter for it.
    authority_file : str, optional
        The file of the authority, which is followed. flwr's program gives what it held once.
    """

    kept = TaskInputKept()
    authority_file: str | None = None

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
        )
        self._client.kept = self.kept

    def _try_push_messages(self, run_id: int, messages: Iterable[Message]) -> list[str]:
        """Push messages as `HttpGrid` does; with their objects, if those fit into the request."""
        client, sent = self._runtime_client, list(messages)
        if not isinstance(client, ServerAppClient):
            return super()._try_push_messages(run_id, sent)
        taken = client.send_whole(self.node, run_id, sent)
        return super()._try_push_messages(run_id, sent) if taken is None else taken

    def take_replies(
        self,
        message_ids: Collection[str],
        seconds: float,
        *,
        gather_share: float,
        gather_seconds: float,
        sent_ago: float,
    ) -> bool:
        """Wait for replies and take them, as `TakingGrid` describes."""
        client = self._runtime_client
        return isinstance(client, ServerAppClient) and client.take_replies(
            self.node,
            message_ids,
            seconds,
            gather_share=gather_share,
            gather_seconds=gather_seconds,
            sent_ago=sent_ago,
        )

    def wait_for_replies(self, seen: int, seconds: float, until: int = 0) -> int | None:
        """Wait for a notification of replies, as `NotifiedGrid` describes."""
        client = self._runtime_client
        if not isinstance(client, BatchingRuntimeClient):
            return None
        node = Node(node_id=SUPERLINK_NODE_ID)
        waited = client.extra_routes.wait(paths.RUNTIME_WAIT, node, seen, seconds, until=until)
        return None if waited is None else waited.count


class _KeepingClient(ServerAppClient):
    """A client that keeps what the task works on, and asks for nothing that is kept."""

    kept = TaskInputKept()

    def PullTaskInput(self, request: PullTaskInputRequest) -> PullTaskInputResponse:  # noqa: N802
        """Take what the task works on."""
        if self.kept.content is None:
            self.kept.content = super().PullTaskInput(request).SerializeToString()
        response: PullTaskInputResponse = PullTaskInputResponse.FromString(self.kept.content)
        return response
