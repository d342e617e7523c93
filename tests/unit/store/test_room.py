"""A disk of 24 MB that is full: what fails, what works all the same, and that it goes on."""

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.small_disk import fill, small_disk

from fedstate.logs import logger
from fedstate.logs.labels import current
from fedstate.store.backup import back_up
from fedstate.store.check import check
from fedstate.store.errors import StoreFullError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.retention import Choice, free
from fedstate.store.room import RESERVE, RESERVE_BYTES, Room
from fedstate.store.values import Value

DISK = 24 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", f"size={DISK}") as mounted:
        yield mounted


def opened(disk: Path) -> NodeStore:
    return NodeStore(disk / "state", reserve=RESERVE_BYTES)


def state(run_id: int, number: int) -> Value:
    """Return 1.1 MB that are like nothing else, all of it in files."""
    return Value(b"", [np.random.default_rng([run_id, number]).bytes(1_100_000)])


def add_runs(store: NodeStore, *run_ids: int) -> None:
    for run_id in run_ids:
        run = StoredRun(run_id=run_id, series_id=run_id, fab_hash="fab", finished_at=None)
        store.add_run(run, Value(b"record"), Value(b"fab"), state(run_id, 0))


def step(store: NodeStore, run_id: int, number: int) -> None:
    message_id = f"{run_id}/{number}"
    store.receive(message_id, run_id, Value(b"message"))
    store.commit(message_id, run_id, state(run_id, number), Value(b"reply"))
    store.answered(message_id)


def steps_until_full(store: NodeStore, run_id: int) -> int:
    """Commit states until there is no room; return the number of the last one."""
    for number in range(1, 100):
        try:
            step(store, run_id, number)
        except StoreFullError:
            return number - 1
    raise AssertionError("There was always room.")


def test_a_disk_that_steps_fill_is_freed_and_the_steps_go_on(disk: Path) -> None:
    with closing(opened(disk)) as store:
        add_runs(store, 1, 2, 3)
        last = steps_until_full(store, 1)
        assert last >= 3
        assert store.context(1) == state(1, last)
        # Nothing of the step that failed is left.
        assert check(disk / "state").strays == []
        store.maintain()  # what the steps have replaced is room again
        step(store, 1, last + 1)
        fill(disk / "filler")
        with pytest.raises(StoreFullError, match="fedstate state free"):
            step(store, 1, last + 2)
        assert store.context(1) == state(1, last + 1)
        # A run that ends is noted, and freed, though there is not a byte.
        store.finish_run(2)
        assert free(store, Choice(finished=True)).runs == ["2"]
        (disk / "filler").unlink()
        step(store, 1, last + 2)
        assert store.room.held
    report = check(disk / "state")
    assert (report.problems, report.runs) == ([], 2)
    with closing(opened(disk)) as store:
        assert store.context(1) == state(1, last + 2)
        assert store.context(3) == state(3, 0)


def test_a_store_on_a_full_disk_is_opened_and_freed_and_others_take_the_reserve(
    disk: Path,
) -> None:
    with closing(opened(disk)) as store:
        add_runs(store, 1, 2)
        step(store, 1, 1)
        step(store, 1, 2)
    fill(disk / "filler")
    with closing(opened(disk)) as store:
        # The reserve was given up, and nothing new takes its place.
        assert not (disk / "state" / RESERVE).exists()
        with pytest.raises(StoreFullError):
            step(store, 1, 3)
        with pytest.raises(StoreFullError):
            store.receive("message", 1, Value(b"message"))
        store.note_unknown(2)
        assert free(store, Choice(runs=["2"])).freed_bytes > 1_000_000
        assert store.context(1) == state(1, 2)
        (disk / "filler").unlink()
        store.look_for_room()
        step(store, 1, 3)
    assert check(disk / "state").problems == []


@pytest.mark.parametrize("key", [None, b"k" * 32])
def test_what_is_committed_always_fits_into_the_database(disk: Path, key: bytes | None) -> None:
    """Else the log, which takes the rest of the disk, could never be moved out of the way."""
    with closing(NodeStore(disk / "state", key=key)) as store:
        add_runs(store, 1)
        store._checkpoints.empty()
        # Small arrays, which are rows.
        parts = [np.random.default_rng([1, part]).bytes(25_000) for part in range(20)]
        store.set_context(1, 1, Value(b"", parts))
        assert store.log_bytes > 2**19, "a state is still to be moved"
        fill(disk / "filler")
        store._checkpoints.empty()
        assert store.log_bytes == 0
    # The database ends where it says, or behind that: both are intact.
    assert check(disk / "state", key).problems == []
    (disk / "filler").unlink()
    back_up(disk / "state", disk.parent / "backup")
    with closing(NodeStore(disk / "state", key=key)) as store:
        assert store.context(1) == Value(b"", parts)


def test_the_reserve_leaves_most_of_a_small_disk(disk: Path) -> None:
    room = Room(disk, RESERVE_BYTES)
    before = room.free_bytes
    assert room.take()
    assert room.take()
    taken = before - room.free_bytes
    assert DISK // 8 < taken <= DISK // 4
    room.give_up()
    assert room.free_bytes == before
    fill(disk / "filler")
    assert not room.take()
    assert not room.held
    with pytest.raises(
        StoreFullError, match=r"on this disk, until 9\.48 MB are free \(0 B now\)"
    ):
        room.need()
    Room(disk, 0).need()
    (disk / "filler").unlink()
    # With as much as it says a step goes on, and with a little less it does not.
    with (disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, room.free_bytes - 9_300_000)
    with pytest.raises(StoreFullError, match=r"until 9\.48 MB are free \(9\.3 MB now\)"):
        room.need()
    os.truncate(disk / "filler", (disk / "filler").stat().st_size - 200_000)
    room.need()


def test_a_full_disk_is_said_once_for_each_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    caplog.set_level(logging.INFO, logger="flwr.fedstate")
    room = Room(tmp_path, 2**20)
    runs: list[str | None] = []

    def note(_: logging.LogRecord) -> bool:
        runs.append(current().get("run"))
        return True

    logger.addFilter(note)
    request.addfinalizer(lambda: logger.removeFilter(note))
    for _ in range(2):
        room.say(StoreFullError("Full."), 1)
        room.say(StoreFullError("Full."), 2)
        room.say(StoreFullError("Full."))
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [("ERROR", "Full."), ("ERROR", "Full.")]
    assert runs == ["1", "2"], "their lines are labelled with the runs"
    room.look()
    room.say(StoreFullError("Full."))
    room.say(StoreFullError("Full."))
    assert [record.levelname for record in caplog.records[2:]] == ["INFO", "WARNING"]
    assert "has room again" in caplog.text
