"""The objects of messages and replies in our SuperLink: by flwr's routes, and by ours."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flwr.app import Message
from flwr.proto.fleet_pb2 import DeactivateNodeRequest
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_object_tree,
    iterate_object_tree,
)
from tests.contract.flower.in_process import SuperLink, arrays
from tests.contract.flower.in_process_run import Node, Reply, Run

from fedstate.exchange import paths
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
    due = {key: reply.objects[key] for key in announced.objects_to_push}
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


def test_an_object_that_is_on_its_way_is_known_and_not_there(
    superlink: SuperLink, run: Run, node: Node, exchange: ExtraRoutes
) -> None:
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
    objects = reply.objects
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
