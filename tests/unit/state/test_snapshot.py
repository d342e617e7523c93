"""A snapshot puts a state back: its records, their order, lists and the fields of arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedstate.state.snapshot import Snapshot
from tests.unit.state.steps import make_context, to_bytes


def replace_fields(records: Any) -> None:
    other = Array(np.ones((3, 1), "int8"))
    for field in ("dtype", "shape", "stype", "data"):
        setattr(records["arrays"]["a"], field, getattr(other, field))


def change_list_in_place(records: Any) -> None:
    losses = records["metrics"]["loss"]
    losses.clear()
    losses.append("no metric")


def replace_list(records: Any) -> None:
    records["metrics"]["loss"] = [9.0]


def reorder_entries(records: Any) -> None:
    records["arrays"]["a"] = records["arrays"].pop("a")


def reorder_records(records: Any) -> None:
    records["config"] = records.pop("config")


def remove_everything(records: Any) -> None:
    records.clear()


def add_records_and_entries(records: Any) -> None:
    records["more"] = ConfigRecord({"a": 1})
    records["config"]["b"] = b""


CHANGES = [
    replace_fields,
    change_list_in_place,
    replace_list,
    reorder_entries,
    reorder_records,
    remove_everything,
    add_records_and_entries,
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_undone(change: Callable[[Any], None]) -> None:
    context = make_context()
    records: Any = context.state
    records["config"] = ConfigRecord({"a": 1, "words": ["x"]})
    records["arrays"] = ArrayRecord({"a": Array(np.zeros(2)), "b": Array(np.ones(2))})
    records["metrics"] = MetricRecord({"loss": [0.5, 0.25]})
    before, losses = to_bytes(context), records["metrics"]["loss"]
    snapshot = Snapshot(context)
    change(records)
    snapshot.restore()
    assert to_bytes(context) == before
    assert records["metrics"]["loss"] is losses, "who holds the list sees it put back"


def test_a_state_that_was_replaced_is_the_same_object_again() -> None:
    context = make_context()
    records = context.state
    snapshot = Snapshot(context)
    context.state = RecordDict({"mine": ConfigRecord({"a": 1})})
    snapshot.restore()
    assert context.state is records
    assert len(records) == 0
