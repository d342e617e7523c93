"""Handlers run in a unit test as they run in a federation."""

from typing import Any

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedstate.state import COMMIT_RECORD, StateTypeError, client_state, read_ledger, state_of
from fedstate.testing import Client


def train(message: Message, context: Context) -> Message:
    state = state_of(context)
    state.history("loss").append(1 / (state.server_round or 1))
    state.setdefault("seen", []).append(context.node_config["partition-id"])
    return Message(RecordDict({"m": MetricRecord({"n": len(state["seen"])})}), reply_to=message)


def fail(message: Message, context: Context) -> Message:
    state_of(context)["seen"] = []
    raise ZeroDivisionError


def test_a_handler_remembers_from_round_to_round() -> None:
    client = Client(train, node_config={"partition-id": 3}, run_id=5, node_id=6)
    replies = client.rounds(2)
    replies.append(client.step())
    assert [reply.content["m"]["n"] for reply in replies] == [1, 2, 3]
    assert replies[2].content[COMMIT_RECORD]["round"] == 3
    with client.state() as state:
        assert state["seen"] == [3, 3, 3]
        assert state.history("loss").rounds == [1, 2, 3]
    assert [entry.action for entry in read_ledger(client.context.state)] == ["train"] * 3


def test_the_server_sends_what_the_test_gives() -> None:
    seen = []

    def handler(message: Message, context: Context) -> Message:
        config = message.content.config_records["config"]
        seen.append((config["lr"], state_of(context).server_round, message.content["a"]))
        return Message(message.content, reply_to=message)

    arrays = ArrayRecord([])
    Client(handler).rounds(
        2, lambda number: RecordDict({"a": arrays, "config": ConfigRecord({"lr": number / 2})})
    )
    assert [entry[:2] for entry in seen] == [(0.5, 1), (1.0, 2)]
    assert all(entry[2] == arrays and entry[2] is not arrays for entry in seen)


def test_a_step_that_raises_leaves_the_context_as_it_was() -> None:
    app = ClientApp(mods=[client_state()])
    app.train()(train)
    app.train("fail")(fail)
    client = Client(app, node_config={"partition-id": 0})
    client.step()
    with pytest.raises(ZeroDivisionError):
        client.step("train.fail")
    client.step()
    with client.state() as state:
        assert state["seen"] == [0, 0]
        assert state.history("loss").rounds == [1, 2]


def test_the_state_can_be_prepared_and_evaluation_is_of_the_last_round() -> None:
    client = Client(train, node_config={"partition-id": 1})
    with client.state() as state:
        state["seen"] = [0]
    client.step()
    assert client.step("evaluate").content["m"]["n"] == 3
    with client.state() as state:
        assert state.history("loss").rounds == [1, 1]


def test_what_is_no_app_is_named() -> None:
    wrong: Any = "app.py"
    with pytest.raises(StateTypeError, match="Client was given a str; give it a ClientApp"):
        Client(wrong)
