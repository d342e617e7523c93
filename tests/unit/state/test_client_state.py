"""The state as an author sees it: a dictionary of values, inside one step."""

from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord

from fedstate.state import StateFitError, StateNameError, StateTypeError, StateUsageError
from fedstate.state.client_state import check_name, read_value
from tests.unit.state.steps import make_context, sent, step


@pytest.fixture
def context() -> Context:
    context = make_context()
    with step(context) as state:
        state["losses"] = [0.5, 0.25]
        state["nested"] = {"lr": 0.1, "deep": [{"moment": np.ones(3)}]}
        state["array"] = np.arange(6.0).reshape(2, 3)
        state["metrics"] = MetricRecord({"loss": [1.0, 2.0]})
        state["arrays"] = ArrayRecord([np.zeros(2)])
        state.history("loss").append(0.5)
    return sent(context)


def test_assigning_stores_a_copy() -> None:
    values = [1, 2]
    with step(make_context()) as state:
        state["list"] = values
        values.append(3)
        assert state["list"] == [1, 2]
        state["list"].append(4)
        assert state["list"] == [1, 2, 4]


def test_setdefault_returns_the_states_own_value() -> None:
    context = make_context()
    for number in (4, 5):
        with step(context) as state:
            state.setdefault("numbers", []).append(number)
    with step(sent(context)) as state:
        assert state["numbers"] == [4, 5]


def test_a_value_may_change_its_type() -> None:
    context = make_context()
    with step(context) as state:
        state["value"] = 3
    with step(context) as state:
        state["value"] = np.ones(2)
    with step(context) as state:
        assert state["value"].tolist() == [1, 1]
        state["value"] = ConfigRecord({"a": 1})
    with step(sent(context)) as state:
        assert state["value"] == ConfigRecord({"a": 1})


def test_a_record_written_past_the_library_replaces_the_value(context: Context) -> None:
    with step(context):
        context.state["losses"] = ConfigRecord({"mine": 1})
    with step(sent(context)) as state:
        assert state["losses"] == ConfigRecord({"mine": 1})


def test_names_values_and_dictionary_methods(context: Context) -> None:
    with step(context) as state:
        assert list(state) == ["losses", "nested", "array", "metrics", "arrays", "loss"]
        assert len(state) == 6
        assert state.get("none", 5) == 5
        assert "fedstate.ledger" not in state
        assert state.pop("losses") == [0.5, 0.25]
        with pytest.raises(StateNameError, match="no value 'losses'; it has nested, array"):
            state["losses"]
        with pytest.raises(KeyError):
            del state["losses"]
        with pytest.raises(StateTypeError, match=r"cannot have the name 'fedstate.ledger'"):
            state["fedstate.ledger"] = 1
        with pytest.raises(StateTypeError, match="cannot have the name 3"):
            state[3] = 1  # type: ignore[index]


def test_the_state_cannot_be_used_after_its_step(context: Context) -> None:
    with step(context) as state:
        pass
    with pytest.raises(StateUsageError, match="after its step has ended"):
        state["losses"]
    with pytest.raises(StateUsageError, match="after its step has ended"):
        state["losses"] = 1
    assert repr(state) == "ClientState() # closed"


def test_an_empty_state_says_so() -> None:
    with step(make_context()) as state:
        assert repr(state) == "ClientState() # open"
        with pytest.raises(StateNameError, match=r"has no value 'a'; it has nothing\.$"):
            state["a"]
        with pytest.raises(StateNameError, match=r"has no value 'a' to delete\.$"):
            del state["a"]


@pytest.mark.parametrize("name", ["fedstate.", "fedstate.codecs", 3, None, b"a"])
def test_a_name_is_a_string_that_is_not_fedstates_own(name: Any) -> None:
    with pytest.raises(StateTypeError, match="choose a string that does not begin with"):
        check_name(name)
    check_name("fedstate")


def test_what_is_read_outside_of_a_step_is_the_value(context: Context) -> None:
    assert read_value(context.state, "losses") == [0.5, 0.25]
    assert read_value(context.state, "metrics") == MetricRecord({"loss": [1.0, 2.0]})


def test_a_record_of_flowers_own_is_not_loaded(context: Context) -> None:
    with (
        step(context) as state,
        pytest.raises(StateFitError, match=r"'metrics' is a MetricRecord of Flower's own"),
    ):
        state.load("metrics", into=object())


def test_there_is_nothing_to_report_before_the_commit(context: Context) -> None:
    with step(context) as state:
        with pytest.raises(StateUsageError, match="no commit to report"):
            state.report()
        state["losses"] = []
    assert state.report()["sequence"] == 2
    assert set(state.report()) == set(state.entry.to_dict())  # type: ignore[union-attr]


def test_an_array_that_did_not_change_is_the_same_object(context: Context) -> None:
    """So it need not be hashed again."""
    before = context.state.array_records["array"]["array"]
    with step(context) as state:
        state["array"] += 0
        state["array"] = state["array"].copy()
        state["losses"].append(1.0)  # a step that changes nothing puts everything back
    assert context.state.array_records["array"]["array"] is before
