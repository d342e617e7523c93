"""What a node store answers about runs and steps; its promises are in the contract tests."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import fedstate.store
from fedstate.store.node_store import NodeStore, StoredRun, StoredStep
from fedstate.store.values import Value

RUN = StoredRun(run_id=2**64 - 1, series_id=2**64 - 2, fab_hash="fab", finished_at=None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path)) as opened:
        opened.add_run(RUN, Value(b"record"), Value(b"fab"), Value(b"context"))
        yield opened


def test_what_is_not_there_is_none(store: NodeStore) -> None:
    assert store.run_record(1) is None
    assert store.fab("other") is None
    assert store.context(1) is None
    assert store.context_header(1) is None
    assert store.context_generation(1) is None
    assert store.step("m") is None
    assert store.message("m") is None
    assert store.reply("m") is None


def test_ending_what_is_not_there_is_without_effect(store: NodeStore) -> None:
    store.answered("m")
    store.forget("m")
    store.finish_run(1)
    store.free_run(1)
    assert store.runs() == [RUN]


def test_a_context_has_the_number_of_the_commit_that_stored_it(store: NodeStore) -> None:
    assert store.context_generation(RUN.series_id) == 1
    assert store.set_context(RUN.series_id, RUN.run_id, Value(b"2")) == 2
    other = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)
    assert store.add_run(other, Value(b"record"), Value(b"fab"), Value(b"context")) == 3
    assert store.context_generation(RUN.series_id) == 2
    store.receive("m", RUN.run_id, Value(b"message"))
    assert store.commit("m", RUN.series_id, Value(b"3"), Value(b"reply")).generation == 4
    assert store.context_generation(RUN.series_id) == 4
    assert store.context_header(RUN.series_id) == b"3"


def test_a_step_says_how_far_it_has_come(store: NodeStore) -> None:
    store.receive("m", RUN.run_id, Value(b"message"))
    assert store.step("m") == StoredStep("m", RUN.run_id, "received")
    store.commit("m", RUN.series_id, Value(b""), Value(b"reply"))
    assert store.step("m") == StoredStep("m", RUN.run_id, "committed")
    store.answered("m")
    assert store.step("m") == StoredStep("m", RUN.run_id, "answered")
    assert store.message("m") is None
    store.forget("m")
    assert store.step("m") is None


def test_the_bytes_of_a_finished_run_are_its_context_and_its_messages(store: NodeStore) -> None:
    store.receive("m", RUN.run_id, Value(b"12345"))
    store.set_context(RUN.series_id, RUN.run_id, Value(b"1", [b"x" * 100]))
    assert list(store.finished_bytes()) == []
    store.finish_run(RUN.run_id)
    ((run, size),) = store.finished_bytes()
    assert run.finished_at is not None
    assert size == 106


def test_what_is_public_can_be_imported_from_the_package() -> None:
    assert fedstate.store.NodeStore is NodeStore
    assert all(hasattr(fedstate.store, name) for name in fedstate.store.__all__)
