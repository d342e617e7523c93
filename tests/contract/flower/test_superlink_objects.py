"""The objects of messages and replies in our SuperLink: by flwr's routes, and by ours."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import DeactivateNodeRequest
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.node_pb2 import Node as NodeProto
from flwr.proto.runtime_pb2 import PushAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.fleet_http_client import FleetHttpClient
from tests.contract.flower.in_process import SuperLink, arrays
from tests.contract.flower.in_process_run import Node, Reply, Run
from tests.waiting import wait_until

from fedstate.exchange import client, paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.exchange.messages import PushReplyRequest, PushReplyResponse
from fedstate.flower.errors import ErrorCode


@pytest.fixture
def exchange(node: Node) -> ExtraRoutes:
    return ExtraRoutes(node.client)


@pytest.fixture
def message(run: Run, node: Node) -> Message:
    """A message that the node has pulled, with its content."""
    run.push(run.message(node.id, arrays(1, 2)))
    return node.take(node.pull())


def push_reply(exchange: ExtraRoutes, node: Node, reply: Reply, *, confirm: bool) -> set[str]:
    """Push a reply and its objects in one request of ours; return which were stored."""
    answer = exchange.call(
        paths.FLEET_REPLY,
        PushReplyRequest(
            node=node.proto,
            push=reply.request(node.proto),
            object_ids=list(reply.objects),
            contents=list(reply.objects.values()),
            confirm=confirm,
        ),
        PushReplyResponse,
    )
    return set(answer.stored)


def push_in_batches(exchange: ExtraRoutes, node: Node, reply: Reply) -> None:
    announced = node.announce(reply)
    run_id = reply.message.metadata.run_id
    due = {key: [reply.objects[key]] for key in announced.objects_to_push}
    stored = exchange.push(paths.FLEET_PUSH, node.proto, run_id, announced.session_id, due)
    assert stored == [True] * len(due)


def push_one_by_one(_: ExtraRoutes, node: Node, reply: Reply) -> None:
    node.answer(reply)


def push_at_once(exchange: ExtraRoutes, node: Node, reply: Reply) -> None:
    assert reply.id in push_reply(exchange, node, reply, confirm=False)


def test_the_objects_of_a_message_are_the_same_in_batches_and_one_by_one(
    run: Run, node: Node, exchange: ExtraRoutes
) -> None:
    run.push(run.message(node.id, arrays(1, 2, 3)))
    (tree,) = node.pull().message_object_trees
    ids = list(dict.fromkeys(each.object_id for each in iterate_object_tree(tree)))
    together = exchange.pull(paths.FLEET_PULL, node.proto, run.id, ids)
    assert {key: each.object_content for key, each in together.items()} == {
        each: node.pull_object(run.id, each).object_content for each in ids
    }
    assert all(each.object_content for each in together.values())


@pytest.mark.parametrize("push", [push_one_by_one, push_in_batches, push_at_once])
def test_a_reply_arrives_whole_however_it_is_pushed(
    run: Run,
    node: Node,
    exchange: ExtraRoutes,
    message: Message,
    push: Callable[[ExtraRoutes, Node, Reply], None],
) -> None:
    push(exchange, node, Reply(message, arrays(3, 4, 5)))
    reply = run.reply(message.metadata.message_id)
    assert reply.content == arrays(3, 4, 5)


def announce(run: Run, message: Message) -> Any:
    """Push a message of a ServerApp without its objects; return flwr's answer."""
    message.metadata.__dict__["_message_id"] = message.object_id
    request = PushAppMessagesRequest(
        messages_list=[message_to_proto(remove_content_from_message(message))],
        message_object_trees=[get_object_tree(message)],
    )
    return run.client.PushMessages(request)


@pytest.mark.parametrize("in_batches", [False, True], ids=["one by one", "in batches"])
@pytest.mark.parametrize("downwards", [False, True], ids=["reply", "message"])
def test_who_pulls_objects_that_are_being_sent_waits_and_gets_them(
    superlink: SuperLink,
    run: Run,
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    *,
    downwards: bool,
    in_batches: bool,
) -> None:
    """Each request is answered once more of them are there; none asks in vain."""
    monkeypatch.setattr(client, "PULL_SECONDS", 60.0)
    message = run.message(node.id, arrays(1, 2, 3))
    sides: list[tuple[Any, NodeProto]]
    sides = [(run.client, NodeProto(node_id=SUPERLINK_NODE_ID)), (node.client, node.proto)]
    if downwards:
        announced = announce(run, message)
        objects = {k: each.deflate() for k, each in get_all_nested_objects(message).items()}
        assert len(node.pull().messages_list) == 1
        pushed_to, pulled_from = paths.RUNTIME_PUSH, paths.FLEET_PULL
    else:
        run.push(message)
        reply = Reply(node.take(node.pull()), arrays(4, 5, 6))
        announced, objects = node.announce(reply), reply.objects
        pushed_to, pulled_from = paths.FLEET_PUSH, paths.RUNTIME_PULL
        sides.reverse()
    (sender, of_sender), (receiver, of_receiver) = sides
    parts = list(announced.objects_to_push)
    assert set(parts) == set(objects)
    pulled: list[int] = []
    ask = ExtraRoutes.pull_first

    def counted(self: ExtraRoutes, *arguments: Any) -> Any:
        answer = ask(self, *arguments)
        pulled.append(len(answer[0]))
        return answer

    monkeypatch.setattr(ExtraRoutes, "pull_first", counted)
    signal = superlink.app.state.signals.objects

    def waits(after: int) -> bool:
        return bool(signal._waiting) and sum(pulled) == after

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(
            ExtraRoutes(receiver).pull, pulled_from, of_receiver, run.id, list(objects)
        )
        for number, each in enumerate(parts):
            wait_until(partial(waits, number))
            if in_batches:
                due = {each: [objects[each]]}
                session = announced.session_id
                ExtraRoutes(sender).push(pushed_to, of_sender, run.id, session, due)
            else:
                request = PushObjectRequest(
                    node=of_sender,
                    run_id=run.id,
                    session_id=announced.session_id,
                    object_id=each,
                    object_content=objects[each],
                )
                # Our own client of the Runtime API would gather them.
                push = RuntimeHttpClient.PushObject if downwards else FleetHttpClient.PushObject
                push(sender, request)
        contents = {key: each.object_content for key, each in found.result(60).items()}
    assert contents == objects
    assert pulled == [1] * len(objects)


def test_an_object_that_is_on_its_way_is_known_and_not_there(
    superlink: SuperLink,
    run: Run,
    node: Node,
    exchange: ExtraRoutes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "PULL_SECONDS", 0.1)
    message = run.message(node.id, arrays(3))
    message.metadata.__dict__["_message_id"] = message.object_id
    state = superlink.state
    _, missing = state.store_message_and_object_tree(
        message, get_object_tree(message), state.start_session(run.id)
    )
    assert len(node.pull().messages_list) == 1
    assert missing
    for each in missing:
        one = node.pull_object(run.id, each)
        assert (one.object_found, one.object_available) == (True, False)
    assert exchange.pull(paths.FLEET_PULL, node.proto, run.id, missing) == {}


def _objects_of(parent: InflatableObject) -> Iterator[InflatableObject]:
    yield parent
    for child in (parent.children or {}).values():
        yield from _objects_of(child)


def test_an_object_that_arrives_while_it_is_looked_for_is_found(
    superlink: SuperLink, run: Run, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = run.message(node.id, arrays(3))
    message.metadata.__dict__["_message_id"] = message.object_id
    state = superlink.state
    session = state.start_session(run.id)
    state.store_message_and_object_tree(message, get_object_tree(message), session)
    leaf = next(each for each in _objects_of(message) if not each.children)
    look = type(state)._session_awaiting

    def arrives(self: Any, run_id: int, object_id: str) -> str | None:
        """Look for a session after the object has been pushed, as another thread may do."""
        monkeypatch.undo()
        assert state.store_object(run.id, session, leaf.object_id, leaf.deflate())
        found: str | None = look(self, run_id, object_id)
        return found

    monkeypatch.setattr(type(state), "_session_awaiting", arrives)
    assert state.get_object(run.id, leaf.object_id) == leaf.deflate()


@pytest.mark.parametrize("ours", [False, True], ids=["by flwr's request", "with the reply"])
def test_a_message_that_is_confirmed_is_kept_no_longer(
    superlink: SuperLink, node: Node, exchange: ExtraRoutes, message: Message, ours: bool
) -> None:
    run_id, message_id = message.metadata.run_id, message.metadata.message_id
    assert node.pull_object(run_id, message_id).object_available
    if ours:
        push_reply(exchange, node, Reply(message, arrays(3)), confirm=True)
    else:
        node.confirm(message)
    assert not node.pull_object(run_id, message_id).object_found


def test_nothing_is_kept_of_a_message_whose_reply_was_taken(
    superlink: SuperLink, run: Run, node: Node, exchange: ExtraRoutes, message: Message
) -> None:
    push_reply(exchange, node, Reply(message, arrays(3)), confirm=True)
    reply = run.reply(message.metadata.message_id)
    assert superlink.state.object_store.get_many([reply.metadata.message_id]) == {}
    assert superlink.state.object_store.get_many([message.metadata.message_id]) == {}


def test_objects_that_are_not_waited_for_are_not_stored(
    run: Run, node: Node, exchange: ExtraRoutes, message: Message
) -> None:
    reply = Reply(message, arrays(3))
    objects = {key: [each] for key, each in reply.objects.items()}
    stored = exchange.push(paths.FLEET_PUSH, node.proto, run.id, "no session", objects)
    assert stored == [False] * len(objects)


def test_what_a_push_left_out_is_taken_from_whoever_names_no_session(
    run: Run, node: Node, message: Message
) -> None:
    """The ServerApp has the reply, the SuperNode was killed, and its push session is unknown."""
    reply = Reply(message, arrays(3, 4))
    announced = node.announce(reply)
    assert all(node.upload(reply, "", announced.objects_to_push))
    taken = run.reply(message.metadata.message_id)
    assert taken.content == arrays(3, 4)


def test_a_reply_to_a_message_that_is_forgotten_is_refused_by_our_route_too(
    run: Run, node: Node, exchange: ExtraRoutes, message: Message
) -> None:
    node.client.DeactivateNode(DeactivateNodeRequest(node_id=node.id))
    error = run.reply(message.metadata.message_id)
    assert error.error.code == ErrorCode.NODE_UNAVAILABLE
    node.activate()
    assert push_reply(exchange, node, Reply(message, arrays(3)), confirm=True) == set()
