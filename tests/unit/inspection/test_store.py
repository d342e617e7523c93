"""A store shows its runs, whether its SuperNode runs or not, and looking changes nothing."""

import hashlib
from pathlib import Path

import pytest

import fedstate
from fedstate.inspection import Store
from fedstate.inspection.errors import NotFoundError
from fedstate.store.errors import StoreError, StoreKeyError
from tests.unit.inspection.stores import OTHER, RUN

Place = tuple[Path, bytes | None]


def contents(path: Path) -> dict[str, str]:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in files
        if not each.name.endswith("-shm")
    }


def test_runs_and_values_are_the_same_in_every_form_of_a_store(place: Place) -> None:
    path, key = place
    before = contents(path)
    with fedstate.open_store(path, key) as store:
        assert (store.node, store.path) == ("SHA256:node", path)
        assert [run.id for run in store.runs] == [RUN, OTHER]
        run = store.runs[str(RUN)[:3]]
        assert list(run.values) == ["weights", "progress", "notes", "count", "loss"]
        assert run.values["count"].load() == 3
        assert run.history("loss").rounds == [1, 2, 3]
        assert [step.outcome for step in run.log] == ["committed"] * 3 + ["failed"]
    assert contents(path) == before


def test_a_run_is_found_by_its_id_and_by_the_beginning_of_it(store: Store) -> None:
    runs = store.runs
    assert runs[RUN].id == runs[str(RUN)].id == runs["922"].id == RUN
    assert runs[OTHER].id == runs["92"].id == OTHER
    assert RUN in runs
    assert str(OTHER) in runs
    assert 5 not in runs


@pytest.mark.parametrize(
    ("name", "message"),
    [("5", "no run whose ID begins with 5; it has 9223"), ("x", "'x' is no ID of a run")],
)
def test_a_run_that_is_not_there_is_one_sentence(store: Store, name: str, message: str) -> None:
    with pytest.raises(NotFoundError, match=message):
        store.runs[name]


def test_a_beginning_that_two_runs_have_is_refused(store: Store) -> None:
    with pytest.raises(NotFoundError, match="2 runs have IDs that begin with"):
        store.runs["9"]


def test_the_key_may_be_a_file(tmp_path: Path, places: dict[str, Path]) -> None:
    file = tmp_path / "key"
    file.write_text("01" * 32)
    assert len(fedstate.open_store(places["encrypted"], file).runs) == 2
    with pytest.raises(StoreKeyError, match="no key was given"):
        fedstate.open_store(places["encrypted"])


def test_there_must_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no node store in"):
        fedstate.open_store(tmp_path / "nowhere")


def test_runs_as_a_frame(store: Store) -> None:
    pytest.importorskip("pandas")
    frame = store.runs.frame()
    assert list(frame["run"]) == [str(RUN), str(OTHER)]
    assert list(frame["status"]) == ["running", "finished"]
    assert list(frame["failures"]) == [1, 0]
