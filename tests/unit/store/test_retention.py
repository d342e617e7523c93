"""Retention: which finished runs go, and what deleting one by name refuses."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fedstate.store.errors import StoreError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.retention import DAY, Retention, free_by_name
from fedstate.store.values import Value

SIZE = 10_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    """Runs 1 to 3 have finished, in this order; 4 goes on."""
    with closing(NodeStore(tmp_path)) as opened:
        for number in range(1, 5):
            run = StoredRun(run_id=number, series_id=number, fab_hash="fab", finished_at=None)
            context = Value(b"", [bytes([number]) * SIZE])
            opened.add_run(run, Value(b"record"), Value(b"fab"), context)
        for number in range(1, 4):
            opened.finish_run(number)
        yield opened


def ends(store: NodeStore) -> list[float]:
    return [run.finished_at for run in store.runs() if run.finished_at is not None]


@pytest.mark.parametrize(
    ("retention", "expected"),
    [
        (Retention(), []),
        (Retention(max_bytes=3 * SIZE), []),
        (Retention(max_bytes=3 * SIZE - 1), [1]),
        (Retention(max_bytes=SIZE), [1, 2]),
        (Retention(max_bytes=0), [1, 2, 3]),
        (Retention(seconds=0), [1, 2, 3]),
    ],
)
def test_the_first_to_finish_goes_first(
    store: NodeStore, retention: Retention, expected: list[int]
) -> None:
    assert retention.apply(store) == expected
    assert [run.run_id for run in store.runs()] == [n for n in range(1, 5) if n not in expected]


def test_a_run_is_kept_for_as_long_as_it_says(store: NodeStore) -> None:
    first, *_, last = sorted(ends(store))
    assert Retention().apply(store, first + 7 * DAY - 0.001) == []
    assert Retention().apply(store, last + 7 * DAY) == [1, 2, 3]


def test_a_run_is_deleted_by_name(store: NodeStore) -> None:
    free_by_name(store, 2)
    assert [run.run_id for run in store.runs()] == [1, 3, 4]


def test_a_run_that_goes_on_or_is_not_there_is_not_deleted_by_name(store: NodeStore) -> None:
    with pytest.raises(StoreError, match="Run 4 is still going"):
        free_by_name(store, 4)
    with pytest.raises(StoreError, match="has no run 9; it has 1, 2, 3, 4"):
        free_by_name(store, 9)
    store.note_unknown(4)
    free_by_name(store, 4)
    assert [run.run_id for run in store.runs()] == [1, 2, 3]
