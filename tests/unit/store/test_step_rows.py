"""The rows of a log as an operator reads them, however many there are."""

from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.store.logged import add_run, commit, fail

from fedstate.store import step_rows as module
from fedstate.store.node_store import NodeStore
from fedstate.store.step_rows import step_rows


def test_rows_are_read_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 2)
    with closing(NodeStore(tmp_path)) as store:
        add_run(store, 1)
        for number in range(1, 6):
            (commit if number % 2 else fail)(store, 1, number)
        assert [row["round"] for row in step_rows(store)] == ["1", "2", "3", "4", "5"]
        assert [row["round"] for row in step_rows(store, failed=True)] == ["2", "4"]
        assert list(step_rows(store, [7])) == []


def test_what_is_no_step_has_a_row_and_is_no_failure(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as store:
        store.keep = 4
        add_run(store, 1)
        for number in (1, 2):
            commit(store, 1, number)
        fail(store, 1, 3)
        store.roll_back(1, 1, lambda header: header.removeprefix(b"header"))
        outcomes = [row["outcome"] for row in step_rows(store)]
        assert outcomes == ["committed", "committed", "failed", "rolled back"]
        assert [row["outcome"] for row in step_rows(store, failed=True)] == ["failed"]
