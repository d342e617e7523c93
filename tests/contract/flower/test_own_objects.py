"""Nobody reaches a message or an object of another run or node: every route is in a table.

For each route of a SuperLink and of a SuperNode either an attack is made, by a node and a task of
another run that know all IDs, or it is said why there is nothing to reach.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
)
from flwr.proto.runtime_pb2 import PushAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from flwr.supercore.runtime import RuntimeHttpClient
from tests.contract.flower.in_process import SuperLink, arrays
from tests.contract.flower.in_process_run import Reply, running
from tests.contract.flower.in_process_supernode import SuperNode, clientapp, message_to
from tests.contract.flower.thieves import (
    ATTACKS,
    SUPERLINK,
    World,
    ids_of,
    leaves_of,
    refused,
    runtime_push_messages,
)

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.exchange.messages import SendMessagesRequest, SendMessagesResponse
from fedstate.flower.runtime_app import runtime_app
from fedstate.objects.memory import MemoryArrival


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
            sorted(ids_of(tree)),
        )


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
    paths.FLEET_TAKE: OWN_NODE,
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
        for each in ids_of(tree):
            request = PullObjectRequest(object_id=each, run_id=1)
            assert not RuntimeHttpClient.PullObject(client, request).object_found
            confirm = ConfirmMessageReceivedRequest(message_object_id=each, run_id=2)
            refused(partial(client.ConfirmMessageReceived, confirm))
        pulled = ExtraRoutes(client).pull(paths.RUNTIME_PULL, SUPERLINK, 1, list(ids_of(tree)))
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

        def send(message: Message, *confirmed: str) -> Any:
            request = SendMessagesRequest(
                push=_pushed(message, get_object_tree(message)), confirmed=confirmed
            )
            return ExtraRoutes(client).call(paths.RUNTIME_SEND, request, SendMessagesResponse)

        refused(lambda: send(forged), 400)
        for each in ids_of(tree):
            refused(partial(send, own, each))
        (wanted,) = leaves_of(tree)[:1]
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
            sorted(ids_of(tree)),
        )
        # The last one makes an object the thief's own.
        for attack in sorted(ATTACKS.values(), key=lambda each: each is runtime_push_messages):
            attack(world)
        world.everything_is_there()


def test_a_supernode_takes_large_contents_around_protobuf(
    our_supernode: OurSuperNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived: list[int] = []
    take = MemoryArrival.take

    def noting(self: MemoryArrival, parts: Iterable[Any]) -> None:
        take(self, parts)
        arrived.append(sum(map(len, self.arrived)))

    monkeypatch.setattr(MemoryArrival, "take", noting)
    values = np.random.default_rng(1).integers(0, 256, 3_000_000, np.uint8)
    message = message_to(7, 1, arrays(1))
    our_supernode.give(1, message)
    with clientapp(our_supernode) as task:
        content = RecordDict({"arrays": ArrayRecord([values])})
        task.client.push_reply(Message(content, reply_to=task.message), task.context)
    assert max(arrived) > values.nbytes
    reply = our_supernode.state.reply_to(message.metadata.message_id)
    assert reply is not None
