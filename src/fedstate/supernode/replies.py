"""Pushing a reply and its objects to the SuperLink."""

from flwr.common.serde import message_to_proto

# The Fleet API's messages, and how flwr moves the objects of one: flwr exports none of it.
from flwr.proto.fleet_pb2 import PushMessagesRequest, PushMessagesResponse
from flwr.proto.message_pb2 import PushObjectRequest, PushObjectResponse
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_push_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPushError,
    push_object_contents_from_iterable,
)
from flwr.supercore.retry import RetryInvoker

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes, batches
from fedstate.exchange.messages import BATCH_BYTES, PushReplyRequest, PushReplyResponse
from fedstate.failpoints import reach
from fedstate.flower.clients import FleetClient
from fedstate.flower.stored_values import Envelope

Objects = dict[str, bytes]


class Replies:
    """Pushes replies: a small one in one request, where the SuperLink can take it.

    Parameters
    ----------
    client : FleetClient
        The client of flwr's own routes.
    routes : ExtraRoutes
        That of ours.
    retry : RetryInvoker
        What is done about requests that fail.
    """

    def __init__(self, client: FleetClient, routes: ExtraRoutes, retry: RetryInvoker) -> None:
        self._client = client
        self._routes = routes
        self._retry = retry

    def send(
        self, node: Node, envelope: Envelope, objects: Objects, seconds: float, *, confirm: bool
    ) -> bool:
        """Push a reply of which nothing has been pushed before.

        `seconds` is how long the ClientApp took; `confirm`, whether the SuperLink need not keep
        the message any longer. Returns whether that was told, too.

        Raises
        ------
        ObjectPushError
            An object was not stored.
        """
        request = _announcement(node, envelope, seconds)
        due = {key: objects[key] for key in envelope.object_ids}
        if sum(map(len, due.values())) < BATCH_BYTES:
            answer = self._retry.invoke(
                self._routes.call,
                paths.FLEET_REPLY,
                PushReplyRequest(
                    node=node,
                    push=request,
                    object_ids=list(due),
                    contents=list(due.values()),
                    confirm=confirm,
                ),
                PushReplyResponse,
            )
            if answer is not None:
                for key in answer.push.objects_to_push:
                    if key not in answer.stored:
                        run_id = envelope.message.metadata.run_id
                        raise ObjectPushError(key, run_id, answer.push.session_id)
                return confirm
        self._send_in_parts(node, envelope, due, request)
        return False

    def send_again(
        self, node: Node, envelope: Envelope, objects: Objects, seconds: float
    ) -> None:
        """Push a reply of which a part may have been pushed before.

        Raises
        ------
        ObjectPushError
            An object was not stored.
        """
        request = _announcement(node, envelope, seconds)
        response = self._send_in_parts(node, envelope, objects, request)
        # A ServerApp that has taken the reply already waits three minutes for objects that an
        # interrupted push did not bring. The reply itself is refused by then, and its objects
        # are accepted only from whoever names no session.
        for key in envelope.object_ids:
            if key not in response.objects_to_push:
                self._push_object(
                    PushObjectRequest(
                        node=node,
                        run_id=envelope.message.metadata.run_id,
                        object_id=key,
                        object_content=objects[key],
                    )
                )

    def _send_in_parts(
        self, node: Node, envelope: Envelope, objects: Objects, request: PushMessagesRequest
    ) -> PushMessagesResponse:
        response: PushMessagesResponse = self._retry.invoke(self._client.PushMessages, request)
        reach("reply-announced")
        run_id, session_id = envelope.message.metadata.run_id, response.session_id
        wanted = set(response.objects_to_push)
        due = {key: objects[key] for key in envelope.object_ids if key in wanted}
        for batch in batches(due):
            stored = self._retry.invoke(
                self._routes.push, paths.FLEET_PUSH, node, run_id, session_id, batch
            )
            if stored is not None:
                for key, was_stored in zip(batch, stored, strict=True):
                    if not was_stored:
                        raise ObjectPushError(key, run_id, session_id)
                due = {key: content for key, content in due.items() if key not in batch}
        push = make_push_object_fn_protobuf(self._push_object, node, run_id, session_id)
        push_object_contents_from_iterable(due.items(), push_object_fn=push)
        return response

    def _push_object(self, request: PushObjectRequest) -> PushObjectResponse:
        response: PushObjectResponse = self._retry.invoke(self._client.PushObject, request)
        return response


def _announcement(node: Node, envelope: Envelope, seconds: float) -> PushMessagesRequest:
    return PushMessagesRequest(
        node=node,
        messages_list=[message_to_proto(envelope.message)],
        message_object_trees=[envelope.tree],
        clientapp_runtime_list=[seconds],
    )
