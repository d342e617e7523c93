"""The Grid that a ServerApp is given, with fewer requests and with notification of replies."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import httpx
from flwr.app import Error, Message, Metadata

# What a Grid makes of a reply whose objects cannot be had.
from flwr.app.message import make_message
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode

# How a Grid asks for replies, and says that it has one.
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.proto.message_pb2 import Message as MessageProto

# What a ServerApp's task works on, which the program asks its Grid's client for.
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PullTaskInputResponse,
)
from flwr.supercore.constant import SYSTEM_MESSAGE_TYPE
from flwr.supercore.date import now

# How flwr's Grid pushes objects, one by one.
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_pull_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError

# What flwr's Grid connects with; it makes its client itself.
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
)
from flwr.superlink.grid import HttpGrid

from fedstate.exchange import paths
from fedstate.flower import transport
from fedstate.flower.arriving import take_in
from fedstate.flower.messages import Node
from fedstate.flower.object_client import BatchingRuntimeClient
from fedstate.flower.serverapp_client import ServerAppClient
from fedstate.large.freed_memory import give_back_freed_memory
from fedstate.large.spool import Spooled
from fedstate.logs import logger


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

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pull the replies that have arrived, as `HttpGrid` does; larger arrays wait in a file.

        A ServerApp reads one reply after the other, and so has no more than one in memory.
        """
        run_id = self.run.run_id
        client = self._runtime_client
        pull = make_pull_object_fn_protobuf(client.PullObject, self.node, run_id)
        messages: list[Message] = []
        # Replies of nodes that have come to the same have the same objects.
        spooled: dict[str, Spooled] = {}
        let_go = client.let_go if isinstance(client, BatchingRuntimeClient) else None
        try:
            answer = client.PullMessages(PullAppMessagesRequest(message_ids=message_ids))
            for proto, tree in zip(
                answer.messages_list, answer.message_object_trees, strict=True
            ):
                message_id = proto.metadata.message_id
                try:
                    message = take_in(tree, pull, spooled, let_go)
                except ObjectPullError as error:
                    messages.append(self._lost(proto, error))
                    continue
                message.metadata.__dict__["_message_id"] = message_id
                client.ConfirmMessageReceived(
                    ConfirmMessageReceivedRequest(
                        node=self.node, run_id=run_id, message_object_id=message_id
                    )
                )
                messages.append(message)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.REQUEST_ENTITY_TOO_LARGE:
                raise
            logger.error("The SuperLink refuses to hand out replies: %s", error)
            return []
        if spooled:
            give_back_freed_memory()
        return messages

    def _lost(self, proto: MessageProto, error: ObjectPullError) -> Message:
        """Return what stands for a reply whose objects cannot be had, as flwr words it."""
        metadata = Metadata(
            run_id=self.run.run_id,
            message_id="",
            src_node_id=self.node.node_id,
            dst_node_id=self.node.node_id,
            message_type=SYSTEM_MESSAGE_TYPE,
            group_id="",
            ttl=0,
            reply_to_message_id=proto.metadata.reply_to_message_id,
            created_at=now().timestamp(),
        )
        reason = (
            "Reply message objects are unavailable. The sender may not have completed the upload "
            f"before the object-push session expired. {error}"
        )
        return make_message(metadata, error=Error(ErrorCode.MESSAGE_UNAVAILABLE, reason))

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
