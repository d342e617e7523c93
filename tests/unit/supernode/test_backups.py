"""Backups on a schedule: checked, counted, and no harm to the node when one fails."""

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.small_disk import small_disk
from tests.waiting import wait_until

from fedstate.store.backup import restore
from fedstate.store.backup_file import read_backup
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value
from fedstate.supernode.backups import Backups, Schedule

RUN = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)
HOUR = 3600.0


@pytest.fixture(params=[None, b"k" * 32], ids=["plain", "encrypted"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path / "state", key=request.param)) as opened:
        opened.add_run(RUN, Value(b"record"), Value(b"fab"), Value(b"0", [b"layer" * 1000]))
        yield opened


def backups_of(store: NodeStore, directory: Path, keep: int = 3) -> Backups:
    return Backups(store, Schedule(directory, HOUR, keep))


def kept(directory: Path) -> list[int]:
    """Return the last commits of the backups that are there, each of which is whole."""
    return [read_backup(each).generation for each in sorted(directory.iterdir())]


def test_the_newest_backups_are_kept(store: NodeStore, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "backups"
    backups = backups_of(store, target)
    assert backups.once()
    (target / "of-somebody-else.backup").write_bytes(b"kept")
    (target / "00000000-000001-1.backup").write_bytes(b"of another node")
    for number in range(2, 7):
        store.set_context(1, 1, Value(str(number).encode()))
        assert backups.once()
        assert backups.once()  # nothing is new: no second one
    (target / "of-somebody-else.backup").unlink()
    (target / "00000000-000001-1.backup").unlink()
    assert kept(target) == [4, 5, 6]
    # After a restart it goes on; a store that was restored has an earlier commit, and a new one.
    newest = min(target.iterdir())
    restore(newest, tmp_path / "restored")
    key = b"k" * 32 if store._cipher.keyed else None
    with closing(NodeStore(tmp_path / "restored", key=key)) as restored:
        restored.set_context(1, 1, Value(b"another"))
        assert backups_of(restored, target).once()
    assert kept(target) == [5, 6, 5]


def test_a_backup_that_fails_is_said_and_the_old_ones_stay(
    store: NodeStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="flwr.fedstate")
    with small_disk(tmp_path / "disk", "size=9m") as disk:
        backups = backups_of(store, disk, keep=1)
        assert backups.once()
        assert backups.problems() == []
        store.set_context(1, 1, Value(b"", [os.urandom(9_000_000)]))
        assert not backups.once()
        assert len(backups.problems()) == 1
        assert str(tmp_path) not in backups.problems()[0]
        assert "cannot be written (No space left on device)" in caplog.text
        assert kept(disk) == [1]
        store.set_context(1, 1, Value(b"small"))
        store.compact()
        assert backups.once()
        assert backups.problems() == []
        assert kept(disk) == [3]


def test_a_copy_that_is_wrong_is_no_backup(
    store: NodeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups = backups_of(store, tmp_path / "backups", keep=1)
    assert backups.once()
    store.set_context(1, 1, Value(b"newer"))
    monkeypatch.setattr(store, "findings", lambda *_: iter(["a row is wrong"]))
    assert not backups.once()
    assert kept(tmp_path / "backups") == [1]


def test_the_next_one_is_due_by_what_is_there(store: NodeStore, tmp_path: Path) -> None:
    backups = backups_of(store, tmp_path / "backups")
    assert backups.pause(0.0) == 0
    backups.once()
    (written,) = (tmp_path / "backups").iterdir()
    at = written.stat().st_mtime
    assert backups.pause(at + 600) == pytest.approx(HOUR - 600)
    for jumped in (at + HOUR, at - 600, at + 8 * 24 * HOUR, 0.0):
        assert backups.pause(jumped) == 0


def test_a_thread_makes_them(
    store: NodeStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "backups"
    target.write_bytes(b"a file where a directory is to be")
    backups = Backups(store, Schedule(target, 0.05, 2))
    with backups.running():
        wait_until(backups.problems)
        target.unlink()
        wait_until(lambda: not backups.problems())
        assert kept(target) == [1]
    assert "The backup of the node's state failed" in caplog.text
