"""Retention: which finished runs go, and what deleting one by name refuses."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fedstate.store.clock import Moment
from fedstate.store.errors import StoreError
from fedstate.store.logged_store import Failure
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.retention import DAY, Choice, Freed, Retention, free
from fedstate.store.step_log import Attempt
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


def random(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(3_000_000)


def at(seconds: float, boot: str = "boot") -> Moment:
    return Moment(boot, seconds)


def test_a_run_is_kept_for_as_long_as_it_says(store: NodeStore) -> None:
    assert Retention().apply(store, at(100)) == []
    assert Retention().apply(store, at(100 + 7 * DAY - 0.001)) == []
    assert Retention().apply(store, at(100 + 7 * DAY)) == [1, 2, 3]


@pytest.mark.parametrize("days", [8, -8, 8000])
def test_a_wall_clock_that_jumps_frees_nothing(
    store: NodeStore, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.record_failure("stray", Failure(99, "refused", Attempt()))
    assert Retention().apply(store, at(0)) == []
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + days * DAY)
    store.add_run(StoredRun(5, 5, "fab", None), Value(b"r"), Value(b"fab"), Value(b"c"))
    store.finish_run(5)
    for seconds in range(0, 4000, 60):
        assert Retention().apply(store, at(seconds)) == []
    assert len(store.runs()) == 5
    assert store.free_stray(99)


def test_the_node_counts_on_after_a_restart_and_not_while_the_machine_is_off(
    store: NodeStore,
) -> None:
    retention = Retention(seconds=1000)
    assert retention.apply(store, at(5000)) == []
    # Counted, and saved at the latest after ten minutes.
    assert retention.apply(store, at(5700)) == []
    store.close()
    with closing(NodeStore(store.directory)) as same_boot:
        assert same_boot.retained_seconds(at(5900))[1] == 900
    with closing(NodeStore(store.directory)) as next_boot:
        assert next_boot.retained_seconds(at(9_000_000, "next"))[1] == 700
        assert retention.apply(next_boot, at(9_000_299, "next")) == []
        # A clock of a boot that goes back, such as another machine's, counts nothing.
        assert next_boot.retained_seconds(at(5, "next"))[1] == 700
        assert retention.apply(next_boot, at(9_000_300, "next")) == [1, 2, 3]


def test_what_goes_on_again_counts_anew(store: NodeStore) -> None:
    store.record_failure("stray", Failure(99, "refused", Attempt()))
    assert store.retained_seconds(at(0)) == {1: 0, 2: 0, 3: 0, 99: 0}
    store.receive("message", 1, Value(b"message"))
    assert store.retained_seconds(at(50)) == {2: 50, 3: 50, 99: 50}
    store.finish_run(1)
    store.record_failure("another", Failure(99, "refused", Attempt()))
    assert store.retained_seconds(at(100)) == {1: 0, 2: 100, 3: 100, 99: 0}
    assert Retention(seconds=100).apply(store, at(150)) == [2, 3]
    assert 99 in store.retained_seconds(at(199))
    Retention(seconds=100).apply(store, at(200))
    assert store.retained_seconds(at(200)) == {}


def test_runs_are_freed_as_an_operator_chooses(store: NodeStore) -> None:
    assert free(store, Choice(runs=["2"])).runs == ["2"]
    store.retained_seconds(at(0))
    store.finish_run(4)
    store.retained_seconds(at(60))
    assert free(store, Choice(older_than=61), moment=at(60)) == Freed([], 0)
    freed = free(store, Choice(older_than=60), moment=at(60), busy=lambda run_id: run_id == 3)
    assert freed.runs == ["1"]
    assert free(store, Choice(finished=True)).runs == ["3", "4"]


def test_a_run_is_named_by_its_first_digits(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path / "other")) as store:
        for number in (12, 123, 456):
            run = StoredRun(run_id=number, series_id=number, fab_hash="fab", finished_at=None)
            store.add_run(run, Value(b"record"), Value(b"fab"), Value(b"", [random(number)]))
            store.finish_run(number)
        with pytest.raises(StoreError, match=r"several runs begin with 1: 12, 123\. Give more"):
            free(store, Choice(runs=["456", "1"]))
        assert len(store.runs()) == 3
        assert free(store, Choice(runs=["12", "4", "12"])).runs == ["12", "456"]
        freed = free(store, Choice(runs=["123"]))
        assert freed.freed_bytes > 2_900_000


def test_who_frees_no_run_frees_no_bytes(store: NodeStore) -> None:
    # There is something to give back, of no run.
    parts = [np.random.default_rng(part).bytes(SIZE) for part in range(40)]
    store.set_context(4, 4, Value(b"", parts))
    store.set_context(4, 4, Value(b""))
    assert free(store, Choice(older_than=1e9)) == Freed([], 0)


def test_a_run_that_goes_on_or_is_not_there_is_not_freed(store: NodeStore) -> None:
    with pytest.raises(StoreError, match="Run 4 is still going"):
        free(store, Choice(runs=["4"]))
    with pytest.raises(StoreError, match="has no run 9; it has 1, 2, 3, 4"):
        free(store, Choice(runs=["9"]))
    store.note_unknown(4)
    with pytest.raises(StoreError, match="A step of run 4 is under way"):
        free(store, Choice(runs=["4"]), busy=lambda _: True)
    free(store, Choice(runs=["4"]))
    assert [run.run_id for run in store.runs()] == [1, 2, 3]
