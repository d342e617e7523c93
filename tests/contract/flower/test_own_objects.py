"""Nobody reaches a message or an object of another run or node: every route is in a table.

For each route of a SuperLink and of a SuperNode either an attack is made, by a node and a task of
another run that know all IDs, or it is said why there is nothing to reach.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
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
from tests.contract.flower.in_process_run import Node, Reply, Run, running
from tests.contract.flower.in_process_supernode import SuperNode, clientapp, message_to

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.exchange.messages import (
    PushReplyRequest,
    PushReplyResponse,
    WaitRequest,
    WaitResponse,
)
from fedstate.flower.runtime_app import runtime_app

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


@pytest.fixture
def world(superlink: SuperLink) -> Iterator[World]:
    with ExitStack() as stack:
        victim, node = stack.enter_context(running(superlink))
        thief, rogue = stack.enter_context(running(superlink))
        # A message that the rogue node was given, so that it has something to do with its run.
        thief.push(thief.message(rogue.id, arrays(9)))
        rogue.take(rogue.pull())
        message = victim.message(node.id, arrays(1, 2))
        victim.push(message)
        (tree,) = node.pull().message_object_trees
        message.metadata.__dict__["_message_id"] = tree.object_id
        reply = Reply(message, arrays(3))
        announced = node.announce(reply)
        yield World(
            superlink,
            victim,
            node,
            thief,
            rogue,
            message,
            reply,
            announced.session_id,
            sorted(_ids(tree)),
        )


def _ids(tree: ObjectTree) -> set[str]:
    return {tree.object_id}.union(*map(_ids, tree.children))


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
        {world.reply.id: b"x"},
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
    (wanted,) = _leaves(get_object_tree(world.message))[:1]
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


def _leaves(tree: ObjectTree) -> list[str]:
    if not tree.children:
        return [tree.object_id]
    return [leaf for child in tree.children for leaf in _leaves(child)]


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
    stored = ExtraRoutes(world.thief.client).push(
        paths.RUNTIME_PUSH, SUPERLINK, world.victim.id, world.session, world.reply.objects
    )
    assert not any(stored or [])


def runtime_pull_messages(world: World) -> None:
    request = PullAppMessagesRequest(message_ids=[world.message.metadata.message_id])
    refused(lambda: world.thief.client.PullMessages(request), 500)


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
    paths.RUNTIME_WAIT: runtime_wait_for_replies,
}

OWN_NODE = "it is about the node whose key signs the request (node_auth)"
OWN_TASK = "it is about the task whose token comes with it, and its run"
MEMBER = "flwr looks whether the node is in the run's federation, and the FAB is the run's"
EXECUTOR = "an executor takes the tasks of all runs"
NOTHING: dict[str, str] = {
    "/v1/fleet/register-node": OWN_NODE,
    "/v1/fleet/activate-node": OWN_NODE,
    "/v1/fleet/deactivate-node": OWN_NODE,
    "/v1/fleet/unregister-node": OWN_NODE,
    "/v1/fleet/send-node-heartbeat": OWN_NODE,
    "/v1/fleet/pull-messages": OWN_NODE,
    "/v1/fleet/get-run": MEMBER,
    "/v1/fleet/get-fab": MEMBER,
    paths.FLEET_WAIT: "whether a run has ended, for who knows its ID",
    paths.FLEET_LOG: "what a node says of itself is kept under the node's ID",
    "/v1/runtime/acquire-task": EXECUTOR,
    paths.TASKS_WAIT: EXECUTOR,
    **dict.fromkeys(
        (
            "/v1/runtime/create-task",
            "/v1/runtime/get-compacted-contexts",
            "/v1/runtime/get-connector",
            "/v1/runtime/get-nodes",
            "/v1/runtime/get-run-series-events",
            "/v1/runtime/pull-task-input",
            "/v1/runtime/pull-task-message",
            "/v1/runtime/push-logs",
            "/v1/runtime/push-task-events",
            "/v1/runtime/push-task-message",
            "/v1/runtime/push-task-output",
            "/v1/runtime/put-compacted-context",
            "/v1/runtime/record-task-usage",
            "/v1/runtime/responses",
            "/v1/runtime/send-task-heartbeat",
            "/v1/runtime/start-automation",
        ),
        OWN_TASK,
    ),
}


def routes_of(app: Any) -> set[str]:
    """Return the paths of an application, but for the Control API, which is the operator's."""
    return {
        str(each.path)
        for each in iter_route_contexts(app.routes)
        if isinstance(each.route, APIRoute)
        and not str(each.path).startswith(("/v1/control/", "/health"))
    }


def test_every_route_is_in_the_table(superlink: SuperLink, supernode: SuperNode) -> None:
    assert not ATTACKS.keys() & NOTHING.keys()
    assert routes_of(superlink.app) == ATTACKS.keys() | NOTHING.keys()
    assert routes_of(supernode.app) <= ATTACKS.keys() | NOTHING.keys()


@pytest.mark.parametrize("path", ATTACKS)
def test_a_superlink_keeps_runs_and_nodes_apart(world: World, path: str) -> None:
    ATTACKS[path](world)
    world.everything_is_there()


class NoSteps:
    """Steps of which a SuperNode has none: its tasks belong to the test."""

    @contextmanager
    def handing_out(self, _task_id: int) -> Iterator[Callable[[bytes], None]]:
        yield lambda _digest: None

    def on_output(self, *_: object) -> bool:
        return False


class OurSuperNode(SuperNode):
    """The Runtime API with our handlers."""

    def application(self) -> FastAPI:
        return runtime_app(self.state, NoSteps(), None)


@pytest.fixture
def our_supernode(tmp_path: Path) -> Iterator[OurSuperNode]:
    with OurSuperNode(tmp_path) as supernode:
        supernode.add_run(1)
        supernode.add_run(2)
        yield supernode


@pytest.mark.allowed_errors(r"\[ApiError:1003\]")
def test_a_supernode_keeps_runs_apart(our_supernode: OurSuperNode) -> None:
    """A ClientApp that knows the IDs of another run's message reaches nothing of it."""
    supernode = our_supernode
    theirs = message_to(7, 1, arrays(1, 2))
    mine = message_to(7, 2, arrays(3))
    supernode.give(2, mine)
    tree = get_object_tree(theirs)
    with clientapp(supernode) as thief:
        # Until its ClientApp has pulled it, a message is there.
        supernode.give(1, theirs)
        client = thief.client
        for each in _ids(tree):
            request = PullObjectRequest(object_id=each, run_id=1)
            assert not RuntimeHttpClient.PullObject(client, request).object_found
            confirm = ConfirmMessageReceivedRequest(message_object_id=each, run_id=2)
            refused(partial(client.ConfirmMessageReceived, confirm))
        pulled = ExtraRoutes(client).pull(paths.RUNTIME_PULL, SUPERLINK, 1, list(_ids(tree)))
        assert not any(each.object_content for each in pulled.values())

        def push(message: Message, tree: ObjectTree) -> Any:
            return RuntimeHttpClient.PushMessages(client, _pushed(message, tree))

        forged = Message(arrays(666), reply_to=theirs)
        forged.metadata.__dict__["_run_id"] = 2
        forged.metadata.__dict__["_message_id"] = forged.object_id
        refused(lambda: push(forged, get_object_tree(forged)), 400)
        own = Message(arrays(5), reply_to=mine)
        own.metadata.__dict__["_message_id"] = own.object_id
        refused(lambda: push(own, tree), 400)
        (wanted,) = _leaves(tree)[:1]
        stolen = get_object_tree(own)
        stolen.children.append(ObjectTree(object_id=wanted))
        assert wanted in push(own, stolen).objects_to_push
        request = PullObjectRequest(object_id=wanted, run_id=2)
        assert not RuntimeHttpClient.PullObject(client, request).object_available
    assert supernode.state.reply_to(theirs.metadata.message_id) is None
    with clientapp(supernode) as victim:
        assert victim.message.content == arrays(1, 2), "nothing of it is lost"
        reply = victim.reply(arrays(4))
    kept = supernode.state.reply_to(theirs.metadata.message_id)
    assert kept.metadata.message_id == reply.metadata.message_id


def _pushed(message: Message, tree: ObjectTree) -> PushAppMessagesRequest:
    bare = remove_content_from_message(message)
    return PushAppMessagesRequest(
        messages_list=[message_to_proto(bare)], message_object_trees=[tree]
    )


def test_a_superlink_in_memory_keeps_runs_apart(tmp_path: Path) -> None:
    """As one on SQLite does: its state is another one."""
    with SuperLink(tmp_path, database=":flwr-in-memory:") as superlink, ExitStack() as stack:
        victim, node = stack.enter_context(running(superlink))
        thief, rogue = stack.enter_context(running(superlink))
        message = victim.message(node.id, arrays(1, 2))
        victim.push(message)
        (tree,) = node.pull().message_object_trees
        message.metadata.__dict__["_message_id"] = tree.object_id
        reply = Reply(message, arrays(3))
        announced = node.announce(reply)
        world = World(
            superlink,
            victim,
            node,
            thief,
            rogue,
            message,
            reply,
            announced.session_id,
            sorted(_ids(tree)),
        )
        # The last one makes an object the thief's own.
        for attack in sorted(ATTACKS.values(), key=lambda each: each is runtime_push_messages):
            attack(world)
        world.everything_is_there()
