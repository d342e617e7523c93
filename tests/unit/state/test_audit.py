"""What a client answers to an audit."""

import json

import pytest
from flwr.app import Context, Message

from fedstate.state import AUDIT_RECORD, audit, content_digest, read_ledger
from tests.unit.state.steps import make_context, make_message, step, to_bytes


@pytest.fixture
def context() -> Context:
    context = make_context()
    for server_round in (1, 2):
        with step(context, server_round) as state:
            state.history("loss").append(1 / server_round)
            state["number"] = 3
    with step(context, 3) as state:
        state.history("accuracy").append(0.25)
    context.node_config["partition-id"] = 7
    return context


def query() -> Message:
    return make_message(None, message_type="query.audit")


def test_it_gives_the_ledger_the_histories_and_the_digest_of_what_is_there(
    context: Context,
) -> None:
    before = to_bytes(context)
    record = audit(query(), context).content.config_records[AUDIT_RECORD]
    entries = [entry.to_dict() for entry in read_ledger(context.state)]
    assert json.loads(str(record["entries"])) == entries
    assert len(entries) == 3
    # Under the names that the app chose.
    assert json.loads(str(record["histories"])) == {"loss": [1.0, 0.5], "accuracy": [0.25]}
    assert record["digest"] == content_digest(context.state) == entries[-1]["digest"]
    assert record["partition-id"] == 7
    assert to_bytes(context) == before


def test_it_tells_a_digest_that_is_not_the_ledgers(context: Context) -> None:
    context.state.config_records["number"]["value"] = 4
    record = audit(query(), context).content.config_records[AUDIT_RECORD]
    assert record["digest"] != json.loads(str(record["entries"]))[-1]["digest"]


def test_a_client_without_a_state_says_that_it_has_none() -> None:
    record = audit(query(), make_context()).content.config_records[AUDIT_RECORD]
    assert dict(record) == {"partition-id": -1, "entries": "[]", "histories": "{}", "digest": ""}
