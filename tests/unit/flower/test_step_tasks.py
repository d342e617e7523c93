"""What a ClientApp is given of a step and hands in is whole, or the step fails."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flwr.app import Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from tests.unit.superlink_in_process import arrays, objects_of, reply_to

from fedstate.flower.errors import MessageUnavailableError
from fedstate.flower.nodestate import DurableNodeState, durable_node_state
from fedstate.flower.stored_values import Envelope
from fedstate.store.node_store import NodeStore


@pytest.fixture
def state(tmp_path: Path) -> Iterator[DurableNodeState]:
    with closing(NodeStore(tmp_path)) as store:
        yield durable_node_state(store)


@pytest.fixture
def message() -> Message:
    metadata = Metadata(1, "", 2, 3, "", "4", 1000.0, 10.0, "train")
    message = make_message(metadata=metadata, content=arrays(10))
    message.metadata.__dict__["_message_id"] = message.object_id
    return message


@pytest.fixture
def envelope(message: Message) -> Envelope:
    return Envelope(message, get_object_tree(message))


def test_a_message_is_pulled_once_and_handed_out(
    state: DurableNodeState, message: Message, envelope: Envelope
) -> None:
    objects = objects_of(message)
    asked: list[list[str]] = []

    def pull(object_ids: object) -> dict[str, bytes]:
        asked.append(sorted(map(str, object_ids)))  # type: ignore[call-overload]
        return objects

    for _ in range(2):
        state.take_in(envelope, pull)
    assert asked == [sorted(envelope.object_ids), []]
    (handed_out,) = state.get_messages_legacy(run_ids=[1], is_reply=False, limit=5)
    assert handed_out.metadata.message_id == message.metadata.message_id
    assert {key: state.object_store.get(key) for key in envelope.object_ids} == objects


def test_what_is_not_what_its_id_says_is_not_handed_out(
    state: DurableNodeState, message: Message, envelope: Envelope
) -> None:
    objects = list(objects_of(message).values())
    wrong = dict(zip(envelope.object_ids, reversed(objects), strict=True))
    with pytest.raises(MessageUnavailableError, match="does not match"):
        state.take_in(envelope, lambda _: wrong)
    with pytest.raises(MessageUnavailableError, match="not pre-registered"):
        state.take_in(envelope, lambda _: objects_of(other()))
    assert not state.get_messages_legacy(run_ids=[1], is_reply=False, limit=5)


def other() -> Message:
    metadata = Metadata(1, "", 2, 3, "", "5", 1000.0, 10.0, "train")
    return make_message(metadata=metadata, content=arrays(11))


@pytest.mark.parametrize("missing", ["one object", "all"])
def test_a_reply_that_is_not_whole_is_none(
    state: DurableNodeState, envelope: Envelope, missing: str
) -> None:
    reply, objects = reply_to(envelope, RecordDict())
    if missing != "all":
        session = state.start_session(1)
        state.store_message_and_object_tree(reply.message, reply.tree, session)
        first, *_ = objects
        assert state.store_object(1, session, first, objects[first])
    with pytest.raises(LookupError, match="did not arrive as a whole"):
        state.pushed_reply(reply.message)
