"""A step is kept as a whole, or it leaves no trace."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict

from fedstate.state import (
    StateTypeError,
    StateUsageError,
    content_digest,
    open_state,
    read_ledger,
    state_of,
)
from tests.unit.state.steps import make_context, make_message, sent, step, to_bytes


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


def test_changes_land_together(context: Context) -> None:
    with step(context, 2) as state:
        state["losses"].append(0.125)
        state["nested"]["deep"][0]["moment"] += 1
        state["array"][0, 0] = 7
        state["metrics"]["loss"].append(3.0)
        state.history("loss").append(0.25)
        del state["arrays"]
    with step(sent(context), 3) as state:
        assert state["losses"] == [0.5, 0.25, 0.125]
        assert state["nested"]["deep"][0]["moment"].tolist() == [2, 2, 2]
        assert state["array"][0, 0] == 7
        assert state["metrics"]["loss"] == [1.0, 2.0, 3.0]
        assert state.history("loss").values.tolist() == [0.5, 0.25]
        assert "arrays" not in state


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_step_that_raises_leaves_no_trace(context: Context, error: type[BaseException]) -> None:
    before = to_bytes(context)
    records: Any = context.state
    with pytest.raises(error), step(context, 2) as state:  # noqa: PT012
        state["losses"].append("not a number")
        state["nested"]["deep"].clear()
        state["array"][:] = -1
        state["new"] = 3
        del state["metrics"]
        state.history("loss").append(0.1)
        # And past the library:
        records["new too"] = ConfigRecord({"a": 1})
        records["arrays"]["0"].data, records["arrays"]["0"].shape = b"", (0,)
        records["arrays"]["1"] = Array(np.ones(1))
        records["losses"]["value"].append(1.0)
        context.state = RecordDict()
        raise error
    assert to_bytes(context) == before
    assert context.state is records


def test_the_order_of_records_is_put_back_too(context: Context) -> None:
    before = to_bytes(context)
    with pytest.raises(ValueError, match="stop"), step(context):  # noqa: PT012
        first = next(iter(context.state))
        context.state[first] = context.state.pop(first)
        raise ValueError("stop")
    assert to_bytes(context) == before


def test_discard_keeps_nothing(context: Context) -> None:
    before = to_bytes(context)
    with step(context) as state:
        state["losses"].append(1.0)
        state.discard()
    assert state.entry is None
    assert to_bytes(context) == before


def test_a_step_that_changes_nothing_commits_nothing(context: Context) -> None:
    before = to_bytes(context)
    with step(context) as state:
        assert state["losses"] == [0.5, 0.25]
        assert state["nested"]["deep"][0]["moment"].sum() == 3
        assert len(state.history("loss")) == 1
    assert state.entry is None
    assert to_bytes(context) == before
    with pytest.raises(StateUsageError, match="no commit to report"):
        state.report()


def test_what_flower_could_not_send_fails_the_commit(context: Context) -> None:
    """flwr checks values when they are set, and not when they are changed in place."""
    before = to_bytes(context)
    sentence = "'metrics' has 'loss' of type float and str"
    with pytest.raises(StateTypeError, match=sentence), step(context) as state:
        state["metrics"]["loss"].append("x")
    assert to_bytes(context) == before


@pytest.mark.parametrize(
    "value", [[1.0, 2], [2**63, -1], [2**64], 2**64, -(2**63) - 1, "\ud800", [True, "x"]]
)
def test_records_of_the_app_must_be_what_flower_can_send(value: object) -> None:
    context = make_context()
    record = ConfigRecord({"list": [0]})
    record["list"] = [] if isinstance(value, list) else value  # type: ignore[assignment]
    if isinstance(value, list):
        record["list"].extend(value)  # type: ignore[union-attr]
    with pytest.raises(StateTypeError, match="'record' has 'list'"), step(context) as state:
        state["record"] = record
    assert len(context.state) == 0


def test_metrics_are_numbers() -> None:
    record = MetricRecord({"loss": [1]})
    record["loss"].append(True)  # type: ignore[union-attr]
    with (
        pytest.raises(StateTypeError, match="metrics are int or float"),
        step(make_context()) as state,
    ):
        state["record"] = record


def test_a_context_is_open_once(context: Context) -> None:
    with step(context) as state:
        assert state_of(context) is state
        with pytest.raises(StateUsageError, match="is open already"), step(context):
            pass
        state["losses"] = [1.0]
    with pytest.raises(StateUsageError, match="No client state is open"):
        state_of(context)


def test_wrong_arguments_are_named() -> None:
    context, message = make_context(), make_message()
    given: Any = (context, message)
    with pytest.raises(StateTypeError, match="a Message and a Context, in"), open_state(*given):
        pass
    with (
        pytest.raises(StateTypeError, match="ledger_limit is 0"),
        open_state(message, context, ledger_limit=0),
    ):
        pass


def test_records_that_were_there_before_are_taken_in() -> None:
    """An app that begins to use the library keeps what it had in the Context."""
    context = make_context()
    context.state["mine"] = MetricRecord({"loss": [1.0]})
    before = content_digest(context.state)
    with step(context) as state:
        state["mine"]["loss"].append(2.0)
    assert state.entry is not None
    assert state.entry.parent == before
    assert read_ledger(context.state) == [state.entry]


def test_more_than_protobuf_carries_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedstate.state.size.CONTEXT_BYTES", 1000)
    context = make_context()
    with pytest.raises(StateTypeError, match="one protobuf message"), step(context) as state:
        state["array"] = np.zeros(1000)
    assert len(context.state) == 0
