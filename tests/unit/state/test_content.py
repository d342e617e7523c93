"""The manifest, and a state's content against its ledger."""

import json
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict

from fedstate.state import StateDamagedError, check_state, content_digest
from fedstate.state.content import (
    MANIFEST_RECORD,
    Stored,
    check_content,
    damage,
    read_manifest,
    record_digests,
    write_manifest,
)
from fedstate.state.digest import combine
from fedstate.state.ledger import LEDGER_RECORD, Ledger
from tests.unit.state.steps import make_context, step

DIGEST = "0f" * 32


@pytest.mark.parametrize(
    "stored",
    [
        Stored("scalar", 1),
        Stored("myapp.ü", 2**40, {"json": "[]", "deep": [1, None]}),
        Stored("history", 3, {}, {"0": DIGEST}),
    ],
)
def test_a_line_of_the_manifest_comes_back(stored: Stored) -> None:
    assert Stored.from_json("x", stored.to_json()) == stored


def test_a_line_is_the_same_text_for_the_same_content() -> None:
    one, other = (
        Stored("t", 1, dict(items)) for items in ([("a", 1), ("b", 2)], [("b", 2), ("a", 1)])
    )
    assert one.to_json() == other.to_json()
    assert Stored("scalar", 1).to_json() == '{"tag": "scalar", "version": 1}'


@pytest.mark.parametrize(
    "line",
    [
        None,
        3,
        "",
        "[]",
        "null",
        "{}",
        '{"tag": "scalar"}',
        '{"tag": 1, "version": 1}',
        '{"tag": "scalar", "version": 0}',
        '{"tag": "scalar", "version": true}',
        '{"tag": "scalar", "version": "1"}',
        '{"tag": "scalar", "version": 1, "meta": []}',
        '{"tag": "scalar", "version": 1, "sealed": []}',
        '{"tag": "scalar", "version": 1, "sealed": {"a": "0f"}}',
        json.dumps({"tag": "scalar", "version": 1, "sealed": {"a": DIGEST.upper()}}),
        '{"tag": "scalar", "version": 1, "more": 1}',
        "[" * 100_000,
    ],
)
def test_a_line_that_says_something_else_is_damage(line: Any) -> None:
    with pytest.raises(
        StateDamagedError, match=r"^State value 'x': the record .* cannot be read\.$"
    ):
        Stored.from_json("x", line)


def test_the_manifest_comes_back_and_names_what_is_there() -> None:
    records = RecordDict({"a": ConfigRecord({"value": 1})})
    manifest = {"a": Stored("scalar", 1)}
    write_manifest(records, manifest)
    assert read_manifest(records) == manifest
    del records["a"]
    with pytest.raises(StateDamagedError, match="names values that are not there: a"):
        read_manifest(records)
    write_manifest(records, {})
    assert MANIFEST_RECORD not in records
    assert read_manifest(records) == {}


def test_a_manifest_of_another_kind_is_damage() -> None:
    records = RecordDict({MANIFEST_RECORD: MetricRecord({"a": 1})})
    with pytest.raises(StateDamagedError, match="names values that are not there"):
        read_manifest(records)


@pytest.fixture
def context() -> Context:
    context = make_context()
    with step(context) as state:
        state["number"] = 3
        state["array"] = np.ones(2)
    return context


def ledger_of(context: Context) -> Ledger:
    ledger = Ledger.read(context.state)
    assert ledger is not None
    return ledger


def test_the_ledger_is_no_content(context: Context) -> None:
    digests = record_digests(context.state)
    assert set(digests) == {"number", "array", MANIFEST_RECORD}
    assert content_digest(context.state) == combine(digests) == ledger_of(context).last.digest
    check_content(context.state, ledger_of(context))
    del context.state[LEDGER_RECORD]
    assert content_digest(context.state) == combine(digests)


def test_digests_that_are_known_are_not_computed(context: Context) -> None:
    broken: Any = context.state["array"]
    broken["array"].data = None  # cannot be hashed
    known = {"array": DIGEST}
    assert record_digests(context.state, known=known)["array"] == DIGEST


def test_every_difference_is_named(context: Context) -> None:
    ledger = ledger_of(context)
    context.state["number"] = ConfigRecord({"value": 4})
    context.state["new"] = ConfigRecord({"value": 4})
    del context.state["array"]
    with pytest.raises(StateDamagedError) as error:
        check_content(context.state, ledger)
    sentence = str(error.value)
    assert "changed: 'number'; missing: 'array'; added: 'new'. It was changed outside" in sentence
    assert "is not as commit 1 left it" in sentence
    assert sentence.endswith("Restore it from a backup, or start a new run.")


def test_a_ledger_that_alone_was_changed_is_named(context: Context) -> None:
    ledger = ledger_of(context)
    assert "its ledger was changed." in str(damage(ledger, ledger.digests))


def test_what_flower_cannot_send_is_damage_when_it_is_checked(context: Context) -> None:
    broken: Any = context.state["array"]
    broken["array"].data = None
    with pytest.raises(StateDamagedError, match="it must be bytes"):
        check_content(context.state, ledger_of(context))


def test_a_state_without_a_ledger_is_nothing_to_check_unless_it_has_values(
    context: Context,
) -> None:
    assert check_state(RecordDict({"mine": ArrayRecord([np.ones(1)])})) is None
    entry = check_state(context.state)
    assert entry is not None
    assert entry.sequence == 1
    del context.state[LEDGER_RECORD]
    with pytest.raises(
        StateDamagedError, match=r"has values of fedstate's \(.*number.*no ledger"
    ):
        check_state(context.state)
