"""Which arrays of a state go into a file, under which names, and what is left out."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedstate
from fedstate.inspection import InspectionError, Store
from fedstate.inspection.export.pieces import pieces_of
from fedstate.store.node_store import NodeStore
from tests.unit.inspection.stores import RUN, Recorder


@pytest.fixture
def values(store: Store) -> Any:
    return store.runs[RUN].values


def test_all_values_have_their_names_before_their_pieces(values: Any) -> None:
    pieces = pieces_of(list(values.values()), alone=False)
    assert list(pieces.arrays) == ["weights", "notes/mask", "loss/round", "loss/value"]
    assert list(pieces.arrays["loss/round"]) == [1, 2, 3]
    assert pieces.left_out == ["progress/best", "progress/counts/images", "notes/round", "count"]
    assert pieces.values == ["weights", "notes", "loss"]


def test_a_value_alone_has_the_names_that_are_in_it(values: Any) -> None:
    assert list(pieces_of([values["weights"]], alone=True).arrays) == ["weights"]
    assert list(pieces_of([values["notes"]], alone=True).arrays) == ["mask"]
    assert list(pieces_of([values["loss"]], alone=True).arrays) == ["round", "value"]


def test_a_value_without_arrays_is_refused(values: Any) -> None:
    with pytest.raises(InspectionError, match=r"no array in 'count' \(int\); export it as JSON"):
        pieces_of([values["count"]], alone=True)
    with pytest.raises(InspectionError, match="no array in a state without values"):
        pieces_of([], alone=False)


def test_arrays_of_objects_are_left_out(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as made:
        objects = np.array([1, "a"], dtype=object)
        run = Recorder(made, RUN)
        run.step(1, lambda _, state: state.update(it={"a": objects, "b": np.ones(2)}))
    found = list(fedstate.open_store(tmp_path).runs[RUN].values.values())
    pieces = pieces_of(found, alone=True)
    assert (list(pieces.arrays), pieces.left_out) == (["b"], ["a"])
