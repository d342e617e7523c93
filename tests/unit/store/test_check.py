"""The check of a store: what it counts, and that it finds every damage, not the first alone."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fedstate.store.check import check
from fedstate.store.errors import StoreError, StoreKeyError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.schema import MIGRATIONS
from fedstate.store.values import Value

KEY = bytes(32)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with closing(NodeStore(tmp_path)) as store:
        store.bind("SHA256:node")
        for number in (1, 2):
            run = StoredRun(run_id=number, series_id=number, fab_hash="fab", finished_at=None)
            blob = bytes([number]) * 5000
            store.add_run(run, Value(b"record"), Value(b"fab"), Value(b"context", [blob]))
        store.note_unknown(2)
    return tmp_path


def test_a_sound_store_is_described(directory: Path) -> None:
    report = check(directory)
    assert (report.schema, report.node, report.generation) == (
        len(MIGRATIONS),
        "SHA256:node",
        2,
    )
    assert (report.runs, report.contexts, report.chunks) == (2, 2, 2)
    assert report.unknown_runs == ["2"]
    assert report.size == (directory / "node.db").stat().st_size
    assert report.problems == []


def test_everything_that_is_damaged_is_named(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "node.db")) as connection, connection:
        connection.execute("UPDATE run SET finished_at = 1.0 WHERE run_id = '1'")
        connection.execute("UPDATE chunk SET data = x'00' WHERE chunk_id = 1")
        connection.execute("DELETE FROM fab")
    problems = check(directory).problems
    assert "the row '1' of table 'run' does not have its checksum" in problems
    assert any("a chunk of value" in each for each in problems)
    assert any("refers to something that is missing" in each for each in problems)


def test_a_store_that_goes_on_meanwhile_is_checked(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)):
        assert check(tmp_path).problems == []


def test_an_older_copy_is_named(directory: Path) -> None:
    older = (directory / "node.db").read_bytes()
    with closing(NodeStore(directory)) as store:
        store.set_context(1, 1, Value(b"newer"))
    (directory / "node.db").write_bytes(older)
    assert check(directory).problems == ["the store is an older copy: commit 2 of 3"]


def test_what_cannot_be_checked_is_refused(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(StoreError, match="There is no node store in"):
        check(tmp_path / "nowhere")
    with pytest.raises(StoreKeyError, match="not encrypted"):
        check(directory, KEY)
    with closing(sqlite3.connect(directory / "node.db")) as connection, connection:
        connection.execute("INSERT INTO migration VALUES (99, 'from the future')")
    with pytest.raises(StoreError, match="has schema 99"):
        check(directory)
