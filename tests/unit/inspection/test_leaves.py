"""A value comes apart into pieces, each under its path."""

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import fedstate
from fedstate.inspection import Store
from fedstate.inspection.leaves import leaves_of
from fedstate.state.history import History
from fedstate.store.node_store import NodeStore
from tests.unit.inspection.stores import OTHER, RUN, Recorder
from tests.unit.state.examples import examples
from tests.unit.state.values import values as stored_values


def test_pieces_have_their_paths(store: Store) -> None:
    values = {**store.runs[RUN].values, **store.runs[OTHER].values}
    paths = {name: list(leaves_of(value)) for name, value in values.items()}
    assert paths == {
        "weights": [""],
        "progress": ["best", "counts/images"],
        "notes": ["mask", "round"],
        "count": [""],
        "loss": [""],
        "net": ["a", "b"],
        "metrics": ["loss", "epochs"],
        "config": ["name", "key", "on"],
    }
    assert isinstance(leaves_of(values["loss"])[""], History)
    assert list(leaves_of(values["metrics"])["loss"]) == [0.5, 0.25]


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with closing(NodeStore(tmp_path_factory.mktemp("any"))) as made:
        yield Recorder(made, RUN)


@settings(max_examples=examples(25, 500), deadline=None)
@given(value=stored_values)
def test_every_value_can_be_looked_at_and_is_equal_to_itself(recorder: Any, value: Any) -> None:
    from fedstate.inspection.difference import compare
    from fedstate.inspection.export.as_json import to_plain

    number = recorder.store.generation
    recorder.step(number, lambda _, state: state.update(it=value))
    states = [fedstate.open_store(recorder.store.directory).state(str(RUN)) for _ in (1, 2)]
    assert compare(*states).changes == []
    (it,) = states[0].values.values()
    assert it.type
    assert it.shape_text is not None
    assert it.size >= 0
    for leaf in leaves_of(it).values():
        to_plain(leaf)


NAN = float("nan")


def _store(value: Any, _: Any, state: Any) -> None:
    state["it"] = value


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (NAN, 1.0),
        (np.float16(NAN), np.float16(1)),
        (np.float32(NAN), np.float32(1)),
        (complex(NAN, 1), complex(NAN, 2)),
        (np.complex64(complex(1, NAN)), np.complex64(complex(2, NAN))),
        (np.datetime64("NaT"), np.datetime64("2026-01-01")),
        ([NAN, "text"], [1.0, "text"]),
        ({"a": (np.float32(NAN), None)}, {"a": (np.float32(2), None)}),
        (np.array([NAN, 1]), np.array([NAN, 2])),
    ],
    ids=lambda value: f"{type(value).__name__} {value}",
)
def test_what_is_not_a_number_is_equal_to_itself_and_to_nothing_else(
    tmp_path: Path, value: Any, other: Any
) -> None:
    from fedstate.inspection.difference import compare

    states = []
    for number, stored in enumerate((value, value, other)):
        with closing(NodeStore(tmp_path / str(number))) as made:
            Recorder(made, RUN).step(1, partial(_store, stored))
        states.append(fedstate.open_store(tmp_path / str(number)).state(str(RUN)))
    assert compare(states[0], states[1]).changes == []
    assert compare(states[0], states[2]).changes != []


def test_a_bool_is_no_number(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as made:
        run = Recorder(made, RUN)
        run.step(1, lambda _, state: state.update(a=[True, False], b=[1, 2.5], c=[2**80, 1]))
    values = fedstate.open_store(tmp_path).runs[RUN].values
    assert leaves_of(values["a"]) == {"0": True, "1": False}
    assert isinstance(leaves_of(values["b"])[""], np.ndarray)
    assert leaves_of(values["c"]) == {"": [2**80, 1]}
