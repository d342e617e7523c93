"""What a node and a task of another run try, who know all IDs: an attack for each route."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest
from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node as NodeProto
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PushAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from flwr.supercore.runtime import RuntimeHttpClient
from tests.contract.flower.in_process import SuperLink, arrays
from tests.contract.flower.in_process_run import Node, Reply, Run

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.exchange.messages import (
    PushReplyRequest,
    PushReplyResponse,
    SendMessagesRequest,
    SendMessagesResponse,
    TakeRepliesRequest,
    TakeRepliesResponse,
    WaitRequest,
    WaitResponse,
)

SUPERLINK = NodeProto(node_id=SUPERLINK_NODE_ID)


@dataclass
class World:
    """A run with a node that works on its message, and the run and the node of a thief."""

    superlink: SuperLink
    victim: Run
    node: Node
    thief: Run
    rogue: Node
    message: Message
    reply: Reply
    session: str
    ids: list[str] = field(default_factory=list)

    def content(self, object_id: str) -> bytes | None:
        content: bytes | None = self.superlink.state.object_store.get(object_id)
        return content

    def everything_is_there(self) -> None:
        """Fail if anything of the victim's is lost: its node and its ServerApp go on."""
        for each in self.ids:
            assert self.node.pull_object(self.victim.id, each).object_available, each
        assert all(self.node.upload(self.reply, self.session, self.reply.objects)), (
            "the reply's objects are still waited for"
        )
        answered = self.victim.reply(self.message.metadata.message_id)
        assert answered.metadata.src_node_id == self.node.id
        assert answered.content == arrays(3)


def ids_of(tree: ObjectTree) -> set[str]:
    return {tree.object_id}.union(*map(ids_of, tree.children))


def refused(call: Callable[[], Any], status: int = 403) -> None:
    # For a node, flwr's retry policy raises a BaseException of its own for a status of 403.
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        call()
    error = caught.value
    if isinstance(error, httpx.HTTPStatusError):
        assert error.response.status_code == status
    else:
        assert (type(error).__name__, status) == ("RunNotRunningException", 403)


def fleet_pull_object(world: World) -> None:
    for run in (world.victim, world.thief):
        for each in world.ids:
            assert not world.rogue.pull_object(run.id, each).object_found


def fleet_pull_objects(world: World) -> None:
    exchange = ExtraRoutes(world.rogue.client)
    for run in (world.victim, world.thief):
        pulled = exchange.pull(paths.FLEET_PULL, world.rogue.proto, run.id, world.ids)
        assert not any(each.object_content for each in pulled.values())


def fleet_confirm(world: World) -> None:
    for run in (world.victim, world.thief):
        request = ConfirmMessageReceivedRequest(
            node=world.rogue.proto,
            run_id=run.id,
            message_object_id=world.message.metadata.message_id,
        )
        refused(partial(world.rogue.client.ConfirmMessageReceived, request))


def forged(world: World) -> PushMessagesRequest:
    """Return a reply that the rogue node sends in the name of the victim's."""
    return Reply(world.message, arrays(666)).request(world.rogue.proto)


def fleet_push_messages(world: World) -> None:
    refused(lambda: world.rogue.client.PushMessages(forged(world)))


def fleet_push_reply(world: World) -> None:
    exchange = ExtraRoutes(world.rogue.client)

    def push(push: PushMessagesRequest) -> Any:
        request = PushReplyRequest(node=world.rogue.proto, push=push, confirm=True)
        return exchange.call(paths.FLEET_REPLY, request, PushReplyResponse)

    refused(lambda: push(forged(world)))
    # One of its own is not taken, and does not confirm the message that it names.
    own = forged(world)
    own.messages_list[0].metadata.src_node_id = world.rogue.id
    assert not push(own).stored


def fleet_push_object(world: World) -> None:
    for session in (world.session, ""):
        for content in (b"", b"not what the ID says"):
            request = PushObjectRequest(
                node=world.rogue.proto,
                run_id=world.victim.id,
                session_id=session,
                object_id=world.reply.id,
                object_content=content,
            )
            assert not world.rogue.client.PushObject(request).stored


def fleet_push_objects(world: World) -> None:
    stored = ExtraRoutes(world.rogue.client).push(
        paths.FLEET_PUSH,
        world.rogue.proto,
        world.victim.id,
        world.session,
        {world.reply.id: [b"x"]},
    )
    assert stored == [False]


def runtime_pull_object(world: World) -> None:
    for each in world.ids:
        request = PullObjectRequest(node=SUPERLINK, run_id=world.victim.id, object_id=each)
        assert not RuntimeHttpClient.PullObject(world.thief.client, request).object_found


def runtime_pull_objects(world: World) -> None:
    pulled = ExtraRoutes(world.thief.client).pull(
        paths.RUNTIME_PULL, SUPERLINK, world.victim.id, world.ids
    )
    assert not any(each.object_content for each in pulled.values())


def runtime_confirm(world: World) -> None:
    for each in world.ids:
        request = ConfirmMessageReceivedRequest(
            node=SUPERLINK, run_id=world.thief.id, message_object_id=each
        )
        refused(partial(world.thief.client.ConfirmMessageReceived, request))


def runtime_push_messages(world: World) -> None:
    """Naming an object in a message of one's own does not make it one's own."""
    message = world.thief.message(world.rogue.id, arrays(5))
    message.metadata.__dict__["_message_id"] = message.object_id

    def push(tree: ObjectTree) -> Any:
        return RuntimeHttpClient.PushMessages(
            world.thief.client,
            PushAppMessagesRequest(
                messages_list=[message_to_proto(remove_content_from_message(message))],
                message_object_trees=[tree],
            ),
        )

    stolen = world.message.metadata.message_id
    refused(lambda: push(ObjectTree(object_id=stolen)), 400)
    tree = get_object_tree(message)
    tree.children.append(ObjectTree(object_id=stolen))
    refused(lambda: push(tree), 400)
    # An array's last part, which is no message and has no children.
    (wanted,) = leaves_of(get_object_tree(world.message))[:1]
    tree = get_object_tree(message)
    tree.children.append(ObjectTree(object_id=wanted))
    answer = push(tree)
    assert wanted in answer.objects_to_push, "whoever names it has to have it"
    request = PullObjectRequest(node=SUPERLINK, run_id=world.thief.id, object_id=wanted)
    pulled = RuntimeHttpClient.PullObject(world.thief.client, request)
    assert (pulled.object_available, pulled.object_content) == (False, b"")
    world.rogue.pull()
    assert not world.rogue.pull_object(world.thief.id, wanted).object_available
    # And it is its own once it was pushed.
    content = world.content(wanted)
    assert content
    for each, sent in ((False, content + b"?"), (True, content)):
        push_object = PushObjectRequest(
            node=SUPERLINK,
            run_id=world.thief.id,
            session_id=answer.session_id,
            object_id=wanted,
            object_content=sent,
        )
        assert RuntimeHttpClient.PushObject(world.thief.client, push_object).stored == each
    assert RuntimeHttpClient.PullObject(world.thief.client, request).object_content == content
    assert world.rogue.pull_object(world.thief.id, wanted).object_content == content


def leaves_of(tree: ObjectTree) -> list[str]:
    if not tree.children:
        return [tree.object_id]
    return [leaf for child in tree.children for leaf in leaves_of(child)]


def runtime_push_object(world: World) -> None:
    request = PushObjectRequest(
        node=SUPERLINK,
        run_id=world.victim.id,
        session_id=world.session,
        object_id=world.reply.id,
        object_content=world.reply.objects[world.reply.id],
    )
    assert not RuntimeHttpClient.PushObject(world.thief.client, request).stored


def runtime_push_objects(world: World) -> None:
    objects = {key: [each] for key, each in world.reply.objects.items()}
    stored = ExtraRoutes(world.thief.client).push(
        paths.RUNTIME_PUSH, SUPERLINK, world.victim.id, world.session, objects
    )
    assert not any(stored or [])


def runtime_pull_messages(world: World) -> None:
    request = PullAppMessagesRequest(message_ids=[world.message.metadata.message_id])
    refused(lambda: world.thief.client.PullMessages(request), 400)


def runtime_send_messages(world: World) -> None:
    """Naming an object or a reply of another run's brings nothing of it."""
    exchange = ExtraRoutes(world.thief.client)
    message = world.thief.message(world.rogue.id, arrays(6))
    message.metadata.__dict__["_message_id"] = message.object_id

    def send(tree: ObjectTree, *confirmed: str) -> Any:
        push = PushAppMessagesRequest(
            messages_list=[message_to_proto(remove_content_from_message(message))],
            message_object_trees=[tree],
        )
        request = SendMessagesRequest(node=SUPERLINK, push=push, confirmed=confirmed)
        return exchange.call(paths.RUNTIME_SEND, request, SendMessagesResponse)

    stolen = world.message.metadata.message_id
    refused(lambda: send(ObjectTree(object_id=stolen)), 400)
    for each in world.ids:
        refused(partial(send, get_object_tree(message), each))
    assert not world.superlink.state.object_store.get(message.object_id), "it was not sent"
    (wanted,) = leaves_of(get_object_tree(world.message))[:1]
    tree = get_object_tree(message)
    tree.children.append(ObjectTree(object_id=wanted))
    assert wanted in send(tree).push.objects_to_push, "whoever names it has to have it"


def runtime_take_replies(world: World) -> None:
    exchange = ExtraRoutes(world.thief.client)
    theirs = [world.message.metadata.message_id]

    def take(message_ids: list[str], *confirmed: str) -> Any:
        request = TakeRepliesRequest(
            node=SUPERLINK, message_ids=message_ids, confirmed=confirmed, number=1
        )
        return exchange.call(paths.RUNTIME_TAKE, request, TakeRepliesResponse)

    refused(lambda: take(theirs), 400)
    for each in world.ids:
        refused(partial(take, [], each))


def runtime_wait_for_replies(world: World) -> None:
    with ExitStack() as stack:
        ended = stack.enter_context(closing(Run(world.superlink)))
        ended.end()
        exchange = ExtraRoutes(world.thief.client)
        request = WaitRequest(seconds=0, run_ids=[ended.id, world.thief.id])
        answer = exchange.call(paths.RUNTIME_WAIT, request, WaitResponse)
        assert list(answer.ended_run_ids) == []


ATTACKS: dict[str, Callable[[World], None]] = {
    "/v1/fleet/confirm-message-received": fleet_confirm,
    "/v1/fleet/pull-object": fleet_pull_object,
    "/v1/fleet/push-messages": fleet_push_messages,
    "/v1/fleet/push-object": fleet_push_object,
    paths.FLEET_PULL: fleet_pull_objects,
    paths.FLEET_PUSH: fleet_push_objects,
    paths.FLEET_REPLY: fleet_push_reply,
    "/v1/runtime/confirm-message-received": runtime_confirm,
    "/v1/runtime/pull-messages": runtime_pull_messages,
    "/v1/runtime/pull-object": runtime_pull_object,
    "/v1/runtime/push-messages": runtime_push_messages,
    "/v1/runtime/push-object": runtime_push_object,
    paths.RUNTIME_PULL: runtime_pull_objects,
    paths.RUNTIME_PUSH: runtime_push_objects,
    paths.RUNTIME_SEND: runtime_send_messages,
    paths.RUNTIME_TAKE: runtime_take_replies,
    paths.RUNTIME_WAIT: runtime_wait_for_replies,
}
