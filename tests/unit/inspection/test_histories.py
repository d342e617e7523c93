"""The histories of a study are one tidy table, with what tells one run from another."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from flwr.app import MetricRecord

import fedstate
from fedstate.inspection import InspectionError, Store
from fedstate.inspection.errors import NotFoundError
from fedstate.inspection.histories import STUDY_COLUMNS, histories_of, study
from fedstate.state.errors import StateDamagedError
from fedstate.store.backup import back_up
from fedstate.store.node_store import NodeStore
from tests.unit.inspection.stores import NODE, OTHER, RUN, Recorder, remember


def test_every_entry_is_a_row(store: Store) -> None:
    table = study([store])
    assert table.columns == list(STUDY_COLUMNS)
    assert table[0] == {
        "run": str(RUN),
        "config": json.dumps({"learning-rate": 0.1, "seed": 7}),
        "seed": "7",
        "node": str(NODE),
        "partition": 1,
        "name": "loss",
        "entry": 0,
        "round": 1,
        "value": 1.0,
    }
    rows = [(row["run"], row["name"], row["round"], row["value"]) for row in table]
    assert rows == [
        *((str(RUN), "loss", number, 1 / number) for number in (1, 2, 3)),
        (str(OTHER), "metrics/loss", None, 0.5),
        (str(OTHER), "metrics/loss", None, 0.25),
    ]


def test_seeds_and_nodes_are_joined(tmp_path: Path) -> None:
    stores = []
    for number in (1, 2):
        with closing(NodeStore(tmp_path / str(number))) as made:
            for seed in (10, 20):
                Recorder(made, seed, seed=seed).step(number + seed, remember)
        stores.append(fedstate.open_store(tmp_path / str(number)))
    table = study(stores)
    assert [(row["seed"], row["round"]) for row in table] == [
        ("10", 11),
        ("20", 21),
        ("10", 12),
        ("20", 22),
    ]


def test_a_history_that_forgets_counts_on(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as made:
        run = Recorder(made, RUN)
        for number in (1, 2, 3):
            run.step(number, lambda _, state: state.history("loss", limit=2).append(1.0))
    table = histories_of(fedstate.open_store(tmp_path).state(str(RUN)))
    assert [(row["entry"], row["round"]) for row in table] == [(1, 2), (2, 3)]


def test_a_run_that_was_replaced_is_not_there_twice(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as made:
        Recorder(made, RUN, 5).step(1, remember)
        later = Recorder(made, OTHER, 5)
        later.context.state["metrics"] = MetricRecord({"loss": [1.0, 2.0]})
        later.commit("m")
    assert {row["run"] for row in study([fedstate.open_store(tmp_path)])} == {str(OTHER)}


def test_a_store_and_its_backup_are_not_both_counted(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path / "state")):
        pass
    back_up(tmp_path / "state", tmp_path / "backup")
    stores = [fedstate.open_store(tmp_path / name) for name in ("state", "backup")]
    with pytest.raises(InspectionError, match=r"the same store, or a backup of it"):
        study(stores)
    assert len(study(stores[:1])) == 0


def test_a_history_that_cannot_be_read_is_an_error_and_never_left_out(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as made:
        run = Recorder(made, RUN)
        run.step(1, remember)
        run.step(2, lambda _, state: state.history("other").append(1.0))
        run.context.state.config_records["fedstate.codecs"]["loss"] = "{"
        run.commit("spoilt")
    store = fedstate.open_store(tmp_path)
    values = store.runs[RUN].values
    for read in (values.histories, lambda: study([store]), lambda: values.history("loss")):
        with pytest.raises(StateDamagedError, match="State value 'loss'"):
            read()
    assert values.history("other").rounds == [2]


def test_a_history_that_is_not_there(store: Store) -> None:
    with pytest.raises(NotFoundError, match="has no history 'x'; it has 'loss'"):
        histories_of(store.state(str(RUN)), ["x"])
