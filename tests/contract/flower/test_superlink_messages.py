"""A message and its reply in our SuperLink, moved by flwr's handlers: when each is handed out."""

from collections.abc import Callable

import pytest
from flwr.app import Error, Message
from flwr.proto.fleet_pb2 import DeactivateNodeRequest
from tests.contract.flower.in_process import SuperLink, arrays
from tests.contract.flower.in_process_run import Node, Reply, Run

from fedstate.flower.bulk_state import BulkLinkState
from fedstate.flower.errors import ErrorCode


def leave(_: SuperLink, node: Node) -> None:
    node.client.DeactivateNode(DeactivateNodeRequest(node_id=node.id))


def lapse(superlink: SuperLink, node: Node) -> None:
    superlink.lapse(node.id)


@pytest.fixture(params=[leave, lapse], ids=["left", "lapsed"])
def lost(
    request: pytest.FixtureRequest, superlink: SuperLink, node: Node
) -> Callable[[], object]:
    """Lose the node, in one of two ways."""
    return lambda: request.param(superlink, node)


def sent(run: Run, node: Node) -> Message:
    """Send a message of the ServerApp."""
    message = run.message(node.id, arrays(1, 2))
    run.push(message)
    return message


def test_the_superlink_works_on_our_state(superlink: SuperLink) -> None:
    assert isinstance(superlink.state, BulkLinkState)


def test_a_message_reaches_its_node_and_the_reply_its_serverapp(run: Run, node: Node) -> None:
    message_id = sent(run, node).metadata.message_id
    message = node.take(node.pull())
    assert message.metadata.message_id == message_id
    assert message.content == arrays(1, 2)
    assert run.pull(message_id) == []
    node.answer(Reply(message, arrays(3)))
    reply = run.reply(message_id)
    assert reply.metadata.reply_to_message_id == message_id
    assert reply.content == arrays(3)


def test_a_message_that_was_handed_out_is_not_pending(run: Run, node: Node) -> None:
    """The SuperNode makes what it pulled durable, and takes it that it will not come again."""
    sent(run, node)
    assert node.pull().messages_list
    node.has_nothing_to_pull()


def test_a_message_that_is_pushed_twice_is_handed_out_once(run: Run, node: Node) -> None:
    message = sent(run, node)
    assert run.push(message) == message.metadata.message_id
    assert node.pull().messages_list
    node.has_nothing_to_pull()


def test_messages_come_in_the_order_in_which_they_were_made(run: Run, node: Node) -> None:
    """Steps that share a Context follow each other in this order."""
    ids = [sent(run, node).metadata.message_id for _ in range(5)]
    pulled = [node.pull().messages_list[0].metadata.message_id for _ in ids]
    assert pulled == ids, f"the first is handed out {pulled.count(ids[0])} times"


def test_a_reply_is_handed_out_once(run: Run, node: Node) -> None:
    message_id = sent(run, node).metadata.message_id
    node.answer(Reply(node.take(node.pull()), arrays(3)))
    assert len(run.pull(message_id)) == 1
    gone = run.reply(message_id)
    assert gone.error.code == ErrorCode.MESSAGE_UNAVAILABLE


def test_the_error_of_a_clientapp_is_a_reply(run: Run, node: Node) -> None:

    message_id = sent(run, node).metadata.message_id
    node.answer(Reply(node.take(node.pull()), Error(ErrorCode.CLIENT_APP_RAISED, "why")))
    reply = run.reply(message_id)
    assert (reply.error.code, reply.error.reason) == (ErrorCode.CLIENT_APP_RAISED, "why")


def test_a_lost_node_is_answered_for(run: Run, node: Node, lost: Callable[[], object]) -> None:
    message_id = sent(run, node).metadata.message_id
    node.pull()
    lost()
    reply = run.reply(message_id)
    assert reply.error.code == ErrorCode.NODE_UNAVAILABLE
    assert node.id not in run.grid.get_node_ids()


def test_a_message_that_is_sent_again_after_its_error_is_handed_out_again(
    run: Run, node: Node, lost: Callable[[], object]
) -> None:
    """It is what `ResendingGrid` does, with the very same message."""
    message = sent(run, node)
    node.pull()
    lost()
    error = run.reply(message.metadata.message_id)
    assert error.has_error()
    node.activate()
    assert run.push(message) == message.metadata.message_id
    again = node.take(node.pull())
    assert again.metadata.message_id == message.metadata.message_id
    assert again.content == arrays(1, 2)
    node.answer(Reply(again, arrays(4)))
    reply = run.reply(message.metadata.message_id)
    assert reply.content == arrays(4)


def test_a_reply_after_its_error_was_handed_out_is_not_taken(
    run: Run, node: Node, lost: Callable[[], object]
) -> None:
    message = sent(run, node)
    taken = node.take(node.pull())
    lost()
    run.pull(message.metadata.message_id)
    node.activate()
    announced = node.announce(Reply(taken, arrays(3)))
    assert not list(announced.objects_to_push), "the reply is taken"


def test_a_reply_that_is_announced_again_wants_what_is_missing(run: Run, node: Node) -> None:
    """A SuperNode that was killed in between sends the same reply again."""
    message_id = sent(run, node).metadata.message_id
    reply = Reply(node.take(node.pull()), arrays(3, 4))
    first = node.announce(reply)
    one, *rest = first.objects_to_push
    assert node.upload(reply, first.session_id, [one]) == [True]
    second = node.announce(reply)
    assert set(second.objects_to_push) == set(rest)
    assert all(node.upload(reply, second.session_id, rest))
    taken = run.reply(message_id)
    assert taken.content == arrays(3, 4)
