"""Two states are compared value by value and layer by layer."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, MetricRecord

import fedstate
from fedstate.inspection import Store
from fedstate.inspection.difference import Change, Difference, compare
from fedstate.store.node_store import NodeStore
from tests.unit.inspection.stores import OTHER, RUN, Recorder, remember, weights

Work = Callable[[Any], None]


@pytest.fixture
def compared(tmp_path: Path) -> Callable[[Work, Work], Difference]:
    """Return what differs between what a run remembers after one step, and after the next."""

    def after(before: Work, then: Work) -> Difference:
        with closing(NodeStore(tmp_path)) as made:
            made.keep = 2
            run = Recorder(made, RUN)
            run.step(1, lambda _, state: before(state))
            run.step(2, lambda _, state: then(state))
        with fedstate.open_store(tmp_path) as store:
            states = [store.state(f"{RUN}@{number}") for number in (1, 2)]
            found = compare(*states, same_store=True)
            # Whether what is equal was read or not.
            assert compare(*states) == found
            return found

    return after


def kept(name: str, before: object, then: object) -> tuple[Work, Work]:
    def works(value: object) -> Work:
        return lambda state: state.update({name: value, "other": 1})

    return works(before), works(then)


@pytest.mark.parametrize(
    ("before", "then", "expected"),
    [
        (
            np.array([3.0, 4.0]),
            np.array([3.0, 4.5]),
            Change("it", "", "changed", 0.5, 0.1, 0.5, 0, 0, "1 of 2 elements differ"),
        ),
        (
            np.array([3.0, 4.0]),
            np.array([3.0, np.nan]),
            Change(
                *("it", "", "changed", 0.0, 0.0, 0.0, 0, 1),
                "1 of 2 elements differ; NaN: 0 before, 1 after",
            ),
        ),
        (
            np.array([0.0]),
            np.array([-0.0]),
            Change(
                *("it", "", "changed", 0.0, None, 0.0, 0, 0),
                "equal numbers, other bytes: signs of zeros, or another kind of NaN",
            ),
        ),
        (
            np.array([1.0]),
            np.array([np.inf]),
            Change(
                *("it", "", "changed", None, None, None, 0, 0),
                "1 of 1 elements differ; the difference is infinite",
            ),
        ),
        (np.zeros((2, 3)), np.zeros(6), Change("it", "", "shape", detail="2 x 3 -> 6")),
        (
            np.zeros(2),
            np.zeros(2, np.float32),
            Change("it", "", "dtype", detail="float64 -> float32"),
        ),
        (
            np.array(["a", "b"]),
            np.array(["a", "c"]),
            Change("it", "", "changed", detail="1 of 2 elements differ"),
        ),
        (1, 3, Change("it", "", "changed", 2.0, 2.0, 2.0, 0, 0, "1 -> 3")),
        (
            float("nan"),
            1.0,
            Change("it", "", "changed", 0.0, None, 0.0, 1, 0, "nan -> 1.0"),
        ),
        ("a", "b", Change("it", "", "changed", detail="'a' -> 'b'")),
        (True, False, Change("it", "", "changed", detail="True -> False")),
        (1, "1", Change("it", "", "type", detail="int; now str")),
        (2**70, 2**70 + 1, Change("it", "", "changed", detail=f"{2**70} -> {2**70 + 1}")),
        (
            {"a": 1, "b": [{"c": "x"}]},
            {"a": 1, "b": [{"c": "y"}]},
            Change("it", "b/0/c", "changed", detail="'x' -> 'y'"),
        ),
        ({"a": 1}, {"a": 1, "b": None}, Change("it", "b", "added", detail="None")),
        (
            {"a": 1, "b": np.zeros((2, 2))},
            {"a": 1},
            Change("it", "b", "removed", detail="array 2 x 2 float64"),
        ),
        ({"a": 1}, {"a": "x"}, Change("it", "a", "type", detail="1 -> 'x'")),
    ],
)
def test_one_change(
    compared: Callable[[Work, Work], Difference], before: Any, then: Any, expected: Change
) -> None:
    found = compared(*kept("it", before, then))
    assert found.changes == [expected]
    assert found.equal_values == ["other"]


def test_large_arrays_of_one_store_that_share_most_of_their_chunks(
    compared: Callable[[Work, Work], Difference],
) -> None:
    (change,) = compared(*kept("it", weights(1), weights(2))).changes
    assert (change.max_abs, change.detail) == (1.0, "1 of 300,000 elements differ")


def test_equal_values_are_counted_by_their_pieces(
    compared: Callable[[Work, Work], Difference],
) -> None:
    pieces = {"a": np.array([np.nan, 1.0]), "b": float("nan"), "c": [1, 2], "d": "x", "e": None}
    found = compared(*kept("it", {**pieces, "number": 1}, {**pieces, "number": 2}))
    assert [each.part for each in found.changes] == ["number"]
    # The value "other" is one more.
    assert found.equal == len(pieces) + 1


def test_equal_values_are_counted_the_same_whether_they_were_read(store: Store) -> None:
    for run in (RUN, OTHER):
        state = store.runs[run].state()
        assert compare(state, state) == compare(state, state, same_store=True)


def test_a_history_that_has_grown_is_told_from_one_that_is_another(
    compared: Callable[[Work, Work], Difference],
) -> None:
    def first(state: Any) -> None:
        for value in (1.0, 0.5):
            state.history("loss").append(value)
            state.history("other").append(value)

    def then(state: Any) -> None:
        state.history("loss").append(0.25)
        del state["other"]
        state.history("other").append(3.0)

    changes = {each.value: each for each in compared(first, then).changes}
    assert changes["loss"].detail == "2 -> 3 entries; the 2 that both have are equal"
    assert changes["loss"].l2 is None
    assert changes["other"].detail.startswith("2 -> 1 entries; of both, 1 of 1 elements differ")
    assert changes["other"].l2 == 2.0


def test_values_that_came_and_went(store: Store) -> None:
    ours, plain = store.runs[RUN].state(), store.runs[OTHER].state()
    found = compare(ours, plain)
    assert found.equal == 0
    assert {(each.value, each.change) for each in found.changes} == {
        *((name, "removed") for name in ours.values),
        *((name, "added") for name in plain.values),
    }
    assert compare(ours, ours).changes == []
    assert compare(plain, plain, same_store=True).changes == []


def test_two_stores_are_compared_by_their_content(tmp_path: Path) -> None:
    key = b"\x02" * 32
    states = []
    for name, secret in (("one", None), ("two", key)):
        with closing(NodeStore(tmp_path / name, key=secret)) as made:
            run = Recorder(made, RUN)
            run.step(1, remember)
            context: Context = run.context
            context.state["plain"] = ArrayRecord([np.zeros(5000)])
            context.state["metrics"] = MetricRecord({"loss": [1.0, len(name) / 4]})
            if secret:
                context.state["plain"] = ArrayRecord([np.ones(5000)])
            run.commit("m")
        states.append(fedstate.open_store(tmp_path / name, secret).state(str(RUN)))
    (change,) = compare(*states).changes
    assert (change.value, change.part, change.max_abs) == ("plain", "0", 1.0)
    assert change.l2 == pytest.approx(5000**0.5)


def test_as_a_frame(store: Store) -> None:
    pytest.importorskip("pandas")
    states = (store.runs[run].state() for run in (RUN, OTHER))
    frame = compare(*states).frame()
    assert list(frame.columns)[:3] == ["value", "part", "change"]
