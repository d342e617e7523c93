"""A reply that was made by a clock that is wrong is not dropped when the clock is right again."""

import datetime
from typing import Any, cast

import pytest
from flwr.app import Context, Error, Message, RecordDict
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from tests.unit.superlink_in_process import SuperLink, arrays, objects_of

from fedstate.flower.reply_times import keep_alive
from fedstate.flower.stored_values import Envelope, error_reply
from fedstate.flower.task_client import TaskClient


class Pushing:
    """A process of a task, as far as it pushes a reply."""

    def __init__(self) -> None:
        self.pushed: list[Message] = []

    def send_whole(self, _node: object, _run_id: int, messages: list[Message]) -> list[str]:
        self.pushed += messages
        return []


def pushed(reply: Message, node_id: int) -> Message:
    """Return a reply as the process of a ClientApp pushes it."""
    process = Pushing()
    context = Context(reply.metadata.run_id, node_id, {}, RecordDict(), {})
    TaskClient.push_reply(cast("Any", process), reply, context)
    (sent,) = process.pushed
    return sent


@pytest.mark.parametrize("days", [0, 8, -8])
@pytest.mark.parametrize("kind", ["content", "error", "error of the node"])
def test_a_reply_that_a_wrong_clock_has_dated_arrives(
    any_superlink: SuperLink, monkeypatch: pytest.MonkeyPatch, kind: str, days: int
) -> None:
    with any_superlink.node() as (api, _):
        run_id = any_superlink.start_run()
        message_id = any_superlink.send(run_id, api.node_id, arrays(10))
        envelope = api.pull_message()
        assert envelope is not None
        with monkeypatch.context() as wrong:
            ahead = datetime.timedelta(days=days)
            wrong.setattr("flwr.app.message.message.now", lambda: now() + ahead)
            if kind == "error of the node":
                made, objects = error_reply(envelope.message, Error(0, "as the test wants it"))
            else:
                given = arrays(20) if kind == "content" else Error(0, "as the test wants it")
                reply = pushed(Message(given, reply_to=envelope.message), api.node_id)
                made, objects = _envelope(reply), objects_of(reply)
        session = api.announce_reply(made, 1.0)
        api.push_objects(run_id, session.session_id, objects)
        taken = any_superlink.take_reply(run_id, message_id)
        assert taken is not None
        assert taken.has_error() == (kind != "content")


def _envelope(reply: Message) -> Envelope:
    return Envelope(reply, get_object_tree(reply))


def test_a_reply_lives_no_longer_than_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    message = Message(RecordDict(), dst_node_id=1, message_type="train", ttl=60.0)
    for hours in (0, 24):
        ahead = datetime.timedelta(hours=hours)
        monkeypatch.setattr("flwr.app.message.message.now", lambda ahead=ahead: now() + ahead)
        reply = Message(RecordDict(), reply_to=message)
        before = reply.metadata.created_at
        keep_alive(reply)
        assert (reply.metadata.created_at == before) == (hours == 0)
        ends = reply.metadata.created_at + reply.metadata.ttl
        assert ends == pytest.approx(message.metadata.created_at + 60.0)
        assert reply.metadata.ttl > 0
