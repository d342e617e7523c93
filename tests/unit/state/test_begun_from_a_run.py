"""A run that begins with the state of another one, as an app sees it that opens its state."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Context

from fedstate.state import (
    StateDamagedError,
    StateError,
    StateFitError,
    StateNameError,
    StateOwnerError,
    StateTypeError,
    check_state,
    read_ledger,
    stored,
)
from fedstate.state.codecs.registry import codecs
from tests.unit.state.steps import make_context, sent, step, to_bytes

ASKS = {"from-run": "1@2"}
SENTENCE = (
    "This run began with the state that run 1 left, as from-run asks: does it fit this app?"
)


def large(number: int) -> Any:
    """Return an array that is checked when it is read, and not on opening."""
    return np.full(2**18, number, np.float64)


@dataclass
class Vocabulary:
    words: int


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    stored("tests.begun.vocabulary")(Vocabulary)


@pytest.fixture
def begun() -> Context:
    """What a node hands to the first step of run 2: the state that run 1 left, on one before."""
    first = make_context(run_id=1, node_id=1)
    for number in (1, 2):
        with step(first, number) as state:
            state["head"] = torch.nn.Linear(3, 2)
            state["vocabulary"] = Vocabulary(number)
            state["large"] = large(number)
            state.history("loss").append(1 / number)
    second = make_context(run_id=2)
    second.run_config = dict(ASKS)
    second.state = sent(first).state
    return second


def test_it_goes_on_with_a_ledger_of_its_own(
    begun: Context, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "flwr.fedstate"), step(begun, 1) as state:
        assert state["vocabulary"] == Vocabulary(2)
        assert list(state.history("loss").values) == [1.0, 0.5]
        assert np.array_equal(state["large"], large(2))
        state.history("loss").append(0.25)
    assert "run 2 begins with the state that run 1 left (commit 2), as it asks" in caplog.text
    assert state.entry is not None
    assert (state.entry.sequence, state.entry.parent, state.entry.run_id) == (1, "", 2)
    with step(sent(begun), 2) as state:
        assert list(state.history("loss").values) == [1.0, 0.5, 0.25]
        state["vocabulary"] = Vocabulary(9)
    assert [entry.run_id for entry in read_ledger(begun.state)] == [2]
    assert check_state(begun.state) is not None


def test_a_step_that_changes_nothing_commits_nothing(begun: Context) -> None:
    before = to_bytes(begun)
    with step(begun) as state:
        assert state["vocabulary"].words == 2
    assert state.entry is None
    assert to_bytes(begun) == before


def test_only_a_run_that_asks_for_it_gets_it(begun: Context) -> None:
    for config in ({}, {"from-run": ""}):
        begun.run_config = dict(config)
        with pytest.raises(StateOwnerError, match="another"), step(begun):
            pytest.fail("it was opened")


def opened_with(begun: Context, what: str) -> None:
    with step(begun) as state:
        if what == "names":
            state["body"]
        elif what == "shapes":
            state.load("head", into=torch.nn.Linear(4, 2))
        elif what == "layers":
            state.load("head", into=torch.nn.Sequential(torch.nn.Linear(3, 2)))
        elif what == "types":
            state.history("vocabulary")


@pytest.mark.parametrize(
    ("what", "kind", "says"),
    [
        ("names", StateNameError, "has no value 'body'; it has head, vocabulary, large, loss."),
        ("shapes", StateFitError, r"weight.*\(2, 4\) in the module, and \(2, 3\)"),
        ("layers", StateFitError, "weight"),
        ("types", StateTypeError, "'vocabulary' is a Vocabulary, not a history"),
    ],
)
def test_what_does_not_fit_is_said_with_where_it_is_from(
    begun: Context, what: str, kind: type[StateError], says: str
) -> None:
    before = to_bytes(begun)
    with pytest.raises(kind, match=says) as raised:
        opened_with(begun, what)
    assert SENTENCE in str(raised.value)
    assert to_bytes(begun) == before
    # Once the run has a state of its own, the fault is its own, too.
    with step(begun) as state:
        state["mine"] = 1
    with pytest.raises(kind, match=says.split(";")[0]) as raised:
        opened_with(begun, what)
    assert SENTENCE not in str(raised.value)


def test_what_cannot_be_read_is_named_where_the_state_is_opened(
    begun: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(codecs._codecs, "tests.begun.vocabulary")
    with (
        pytest.raises(StateFitError, match="does not fit this app") as raised,
        step(begun),
    ):
        pytest.fail("it was opened")
    assert "'vocabulary': it was stored by the codec" in str(raised.value)
    assert "'tests.begun.vocabulary' version 1, which is not registered." in str(raised.value)


def test_damage_is_found_all_the_same(begun: Context) -> None:
    records: Any = begun.state
    array = records["large"]["array"]
    array.data = array.data[:-1] + b"\x00"
    with (
        pytest.raises(StateDamagedError, match="run 1 on node 1 is not as commit 2"),
        step(begun) as state,
    ):
        state["large"]


def test_a_node_that_gives_none_is_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    context = make_context()
    context.run_config = dict(ASKS)
    with caplog.at_level(logging.WARNING, "flwr.fedstate"), step(context) as state:
        assert not state
        state["mine"] = 1
    assert (
        "asks by from-run=1@2 for the state of another run, and begins with none" in caplog.text
    )
    caplog.clear()
    with caplog.at_level(logging.WARNING, "flwr.fedstate"), step(context):
        pass
    assert caplog.text == ""
