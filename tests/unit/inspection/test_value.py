"""What a value is can be seen without reading it, and what it holds without its app."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord

import fedstate
from fedstate.inspection import Store, Value
from fedstate.inspection.errors import InspectionError
from fedstate.state.codecs.registry import codecs
from fedstate.state.errors import StateDamagedError
from fedstate.state.history import History
from fedstate.store.errors import StoreDamagedError
from fedstate.store.node_store import NodeStore
from tests.unit.inspection.stores import OTHER, RUN, Progress, Recorder, weights


@pytest.fixture
def values(store: Store) -> Any:
    return store.runs[RUN].values


@contextmanager
def unregistered(tag: str) -> Iterator[None]:
    """Be a process that knows nothing of an app's type."""
    known = codecs._codecs.pop(tag)
    try:
        yield
    finally:
        codecs._codecs[tag] = known


def test_what_a_value_is_is_known_without_reading_it(values: Any) -> None:
    rows = {row["name"]: tuple(row.values())[1:] for row in values.table()}
    assert rows["weights"] == ("array", "300000", "float32", 1_200_128)
    assert rows["progress"][:3] == ("tests.progress", "", "")
    assert rows["notes"][:3] == ("dict", "1 array, 4 numbers", "int64")
    assert rows["count"] == ("int", "", "", 8)
    assert rows["loss"][:3] == ("history", "3 entries", "float64")
    assert values["weights"].shape == (300_000,)
    assert values["loss"].shape == (3,)


def test_a_value_is_loaded_as_its_app_would_read_it(values: Any) -> None:
    assert np.array_equal(values["weights"].load(), weights(3))
    assert values["progress"].load() == Progress(1 / 3, {"images": 3})
    notes = values["notes"].load()
    assert (notes["round"], list(notes["mask"])) == (3, [0, 1, 2, 3])
    history = values["loss"].load()
    assert isinstance(history, History)
    assert (history.name, history.rounds) == ("loss", [1, 2, 3])
    assert list(history.values) == [1, 1 / 2, 1 / 3]


def test_a_type_that_is_not_registered_here_is_what_it_is_stored_as(values: Any) -> None:
    with unregistered("tests.progress"):
        assert values["progress"].type == "tests.progress (not registered here)"
        assert values["progress"].load() == {"best": 1 / 3, "counts": {"images": 3}}


def test_records_of_an_app_without_our_library_are_shown_as_they_are(store: Store) -> None:
    values = store.runs[OTHER].values
    assert {name: value.type for name, value in values.items()} == {
        "net": "ArrayRecord",
        "metrics": "MetricRecord",
        "config": "ConfigRecord",
    }
    net = values["net"].load()
    assert np.array_equal(net["a"], np.ones(3))
    assert np.array_equal(net["b"], np.arange(6000).reshape(2, -1))
    assert [each.shape for each in values["net"].arrays] == [(3,), (2, 3000)]
    assert values["metrics"].load() == {"loss": [0.5, 0.25], "epochs": 2}
    assert values["config"].load() == {"name": "net", "key": b"12", "on": True}


def test_a_value_that_is_no_history_is_not_plotted_as_one(values: Any) -> None:
    with pytest.raises(InspectionError, match="has no history 'weights': that value is a array"):
        values["weights"].history()
    with pytest.raises(InspectionError, match="has no history 'accuracy'; it has 'loss'"):
        values.history("accuracy")
    with pytest.raises(InspectionError, match=r"has no value 'x'; it has 'weights', 'progress'"):
        values["x"]


def test_no_framework_is_imported_to_look(places: dict[str, Path]) -> None:
    code = (
        "import sys, fedstate\n"
        "with fedstate.open_store(sys.argv[1]) as store:\n"
        "    for run in store.runs:\n"
        "        for value in run.values.values(): value.load()\n"
        "heavy = {'tensorflow', 'keras', 'torch', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'{heavy}' if heavy else 0)\n"
    )
    arguments = [sys.executable, "-c", code, str(places["live"])]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_damaged_value_is_named_and_the_others_can_be_read(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path / "state")) as made:
        run = Recorder(made, RUN)
        run.context.state["good"] = ArrayRecord([np.zeros(3000)])
        run.context.state["bad"] = ArrayRecord([np.full(3000, 7.0)])
        run.commit("m")
    database = tmp_path / "state" / "node.db"
    content = database.read_bytes()
    place = content.index(np.full(3000, 7.0).tobytes()[:1000])
    database.write_bytes(content[: place + 8] + b"x" + content[place + 9 :])
    values = fedstate.open_store(tmp_path / "state").runs[RUN].values
    assert not values["good"].load()["0"].any()
    with pytest.raises(StoreDamagedError, match=r"value 'bad' of the state of run 922\d+ cannot"):
        values["bad"].load()


def _truncated(context: Any) -> None:
    record = context.state["weights"]["array"]
    context.state["weights"]["array"].data = record.data[:-4]


def _changed(context: Any) -> None:
    context.state["count"] = ConfigRecord({"value": 4})


def _without_ledger(context: Any) -> None:
    del context.state["fedstate.ledger"]


def _bad_ledger(context: Any) -> None:
    context.state["fedstate.ledger"]["entries"] = ["{"]
    context.state["fedstate.ledger"]["digests"] = "{"


def _bad_manifest(context: Any) -> None:
    context.state["fedstate.codecs"]["weights"] = "{"


def _missing(context: Any) -> None:
    del context.state["weights"]


@pytest.mark.parametrize(
    ("spoil", "name", "message"),
    [
        (_truncated, "weights", "value 'weights' is not as its commit left it"),
        (_changed, "count", "value 'count' is not as its commit left it"),
        (_without_ledger, "weights", "has values of fedstate's and no ledger"),
        (_bad_ledger, "weights", "The state's ledger .* cannot be read"),
        (_bad_manifest, "weights", "State value 'weights': the record 'fedstate.codecs' says"),
        (_missing, "weights", "names a value 'weights' that is not there"),
    ],
)
def test_what_was_spoilt_in_the_context_is_an_error_that_names_the_value(
    tmp_path: Path, spoil: Any, name: str, message: str
) -> None:
    from tests.unit.inspection.stores import remember

    with closing(NodeStore(tmp_path / "state")) as made:
        run = Recorder(made, RUN)
        run.step(1, remember)
        spoil(run.context)
        run.commit("spoilt")
    value: Value = fedstate.open_store(tmp_path / "state").runs[RUN].values[name]
    for read in (value.load, value.load_stored, value.load_arrays):
        with pytest.raises(StateDamagedError, match=message):
            read()
