"""The mod opens the state for a handler, commits it, and tells the server."""

from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from fedstate.state import (
    COMMIT_RECORD,
    StateTypeError,
    StateUsageError,
    check_state,
    client_state,
    open_state,
    read_ledger,
    state_of,
)
from tests.unit.state.steps import NODE, RUN, make_context, make_message, sent, to_bytes

app = ClientApp(mods=[client_state()])


@app.train()
def train(message: Message, context: Context) -> Message:
    state = state_of(context)
    state.setdefault("counts", []).append(len(state.get("counts", [])))
    return reply_to(message, 1.0)


@app.train("fail")
def fail(message: Message, context: Context) -> Message:
    state_of(context)["counts"].append(-1)
    raise ZeroDivisionError


@app.train("refuse")
def refuse(message: Message, context: Context) -> Message:
    state_of(context)["counts"].append(-1)
    return Message(Error(code=1, reason="no"), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    assert state_of(context)["counts"]
    return reply_to(message, 2.0)


def reply_to(message: Message, loss: float) -> Message:
    content = RecordDict(
        {
            "arrays": ArrayRecord([np.full(2, loss)]),
            "metrics": MetricRecord({"loss": loss, "num-examples": 2}),
        }
    )
    return Message(content, reply_to=message)


@pytest.fixture
def context() -> Context:
    context = make_context()
    app(make_message(1), context)
    return sent(context)


def test_the_reply_carries_the_commit(context: Context) -> None:
    reply = app(make_message(2), context)
    (first, second) = read_ledger(context.state)
    assert reply.content[COMMIT_RECORD] == {
        "sequence": 2,
        "run_id": str(RUN),
        "node_id": str(NODE),
        "action": "train",
        "round": 2,
        "message_id": "message-2",
        "parent": first.digest,
        "digest": second.digest,
    }
    assert set(reply.content) == {"arrays", "metrics", COMMIT_RECORD}


def test_a_handler_that_only_reads_commits_nothing(context: Context) -> None:
    before = to_bytes(context)
    reply = app(make_message(2, message_type="evaluate"), context)
    assert COMMIT_RECORD not in reply.content
    assert to_bytes(context) == before


def test_a_handler_that_raises_leaves_no_trace(context: Context) -> None:
    before = to_bytes(context)
    with pytest.raises(ZeroDivisionError):
        app(make_message(2, message_type="train.fail"), context)
    assert to_bytes(context) == before


def test_a_reply_that_is_an_error_leaves_no_trace(context: Context) -> None:
    before = to_bytes(context)
    reply = app(make_message(2, message_type="train.refuse"), context)
    assert reply.has_error()
    assert to_bytes(context) == before


def test_mods_after_it_are_part_of_the_step(context: Context) -> None:
    def failing(message: Message, context: Context, call_next: Any) -> Message:
        call_next(message, context)
        raise ZeroDivisionError

    stricter = ClientApp(mods=[client_state(), failing])
    stricter.train()(train)
    before = to_bytes(context)
    with pytest.raises(ZeroDivisionError):
        stricter(make_message(2), context)
    assert to_bytes(context) == before


def test_without_the_mod_the_way_out_is_named() -> None:
    bare = ClientApp()
    bare.train()(train)
    with pytest.raises(StateUsageError, match=r"add client_state\(\) to ClientApp\(mods="):
        bare(make_message(), make_context())


def test_the_ledger_limit_is_an_option_of_the_mod() -> None:
    bounded = ClientApp(mods=[client_state(ledger_limit=2)])
    bounded.train()(train)
    context = make_context()
    for server_round in (1, 2, 3):
        bounded(make_message(server_round), context)
    assert [entry.sequence for entry in read_ledger(context.state)] == [2, 3]


def test_fedavg_averages_replies_that_carry_a_commit(context: Context) -> None:
    """Strategies demand exactly one ArrayRecord and one MetricRecord; a ConfigRecord is none."""
    replies = [app(make_message(2), sent(context)) for _ in range(2)]
    arrays, metrics = FedAvg().aggregate_train(1, replies)
    assert arrays is not None
    assert arrays["0"].numpy().tolist() == [1.0, 1.0]
    assert metrics == {"loss": 1.0}


def answering(answer: Any) -> ClientApp:
    handled = ClientApp(mods=[client_state()])

    @handled.train()
    def handler(message: Message, context: Context) -> Message:
        state_of(context).setdefault("seen", []).append(1)
        reply: Message = answer(message, context)
        return reply

    return handled


def test_a_handler_may_reply_with_the_state_itself() -> None:
    handled = answering(lambda message, context: Message(context.state, reply_to=message))
    context = make_context()
    for server_round in (1, 2, 3):
        reply = handled(make_message(server_round), context)
        assert set(context.state) == {"seen", "fedstate.codecs", "fedstate.ledger"}
        assert reply.content[COMMIT_RECORD]["sequence"] == server_round
        assert check_state(context.state) is not None
        context = sent(context)
    assert state_after(context) == [1, 1, 1]


def test_a_handler_may_reply_with_one_recorddict_again_and_again() -> None:
    content = RecordDict({"metrics": MetricRecord({"n": 1})})
    handled = answering(lambda message, _: Message(content, reply_to=message))
    context = make_context()
    for server_round in (1, 2):
        reply = handled(make_message(server_round), context)
        assert reply.content[COMMIT_RECORD]["sequence"] == server_round
        assert set(content) == {"metrics"}


def state_after(context: Context) -> Any:
    with open_state(make_message(9), context) as state:
        return state["seen"]


@pytest.mark.parametrize(
    ("answer", "what"),
    [(None, "nothing"), ({"loss": 1}, "a dict"), (RecordDict(), "a RecordDict")],
)
def test_a_handler_that_returns_no_message_is_told_so(
    context: Context, answer: Any, what: str
) -> None:
    before = to_bytes(context)
    with pytest.raises(StateTypeError, match=f"for 'train' returned {what}; a handler returns a"):
        answering(lambda *_: answer)(make_message(2), context)
    assert to_bytes(context) == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"ledger_limit": 0}, "ledger_limit is 0; it must be 1 or more"),
        ({"ledger_limit": True}, "ledger_limit is True"),
    ],
)
def test_options_are_checked_when_the_mod_is_made(options: Any, sentence: str) -> None:
    with pytest.raises(StateTypeError, match=sentence):
        client_state(**options)
