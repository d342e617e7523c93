"""Backups: what is refused, and that nothing is left of one that failed."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.small_disk import fill, small_disk

from fedstate.failpoints import VARIABLE
from fedstate.store.backup import back_up, restore
from fedstate.store.backup_file import read_backup
from fedstate.store.errors import StoreDamagedError, StoreError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value

RUN = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with closing(NodeStore(tmp_path / "state")) as store:
        store.add_run(RUN, Value(b"record"), Value(b"fab"), Value(b"context"))
    return tmp_path / "state"


def test_a_backup_says_what_it_holds(directory: Path, tmp_path: Path) -> None:
    backup = back_up(directory, tmp_path / "backup")
    assert read_backup(tmp_path / "backup") == backup
    assert backup.generation == 1
    assert backup.size == (tmp_path / "backup").stat().st_size - 512
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600


def test_a_directory_without_a_store_has_no_backup(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no node store in"):
        back_up(tmp_path, tmp_path / "backup")


def test_a_backup_that_is_there_is_not_replaced(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "backup").write_bytes(b"another")
    with pytest.raises(StoreError, match="exists already"):
        back_up(directory, tmp_path / "backup")
    assert (tmp_path / "backup").read_bytes() == b"another"


def test_a_backup_that_cannot_be_written_says_so(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"backup' cannot be written \(No such file"):
        back_up(directory, tmp_path / "nowhere/backup")


def test_a_backup_on_a_full_disk_says_so_and_leaves_nothing(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk that is full is not that of the state."""

    class Full(sqlite3.Connection):
        def execute(self, *_: object) -> sqlite3.Cursor:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error

    real: Any = sqlite3.connect
    target = tmp_path / "out"
    target.mkdir()

    def connect(path: object, **options: Any) -> sqlite3.Connection:
        # The copy is the one that is opened by its path.
        opened: sqlite3.Connection = real(
            str(path), **options if "uri" in options else options | {"factory": Full}
        )
        return opened

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(StoreError, match=r"backup' cannot be written \(No space left") as raised:
        back_up(directory, target / "backup")
    assert type(raised.value) is StoreError
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON",
        b"[]",
        json.dumps({"format": "of another kind"}).encode().ljust(512),
        json.dumps({"format": "fedstate node store backup 1", "size": 1}).encode().ljust(512),
    ],
)
def test_a_file_that_is_no_backup_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(StoreDamagedError, match="is not a backup of a node store"):
        read_backup(tmp_path / "file")


def test_a_backup_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere' cannot be read"):
        read_backup(tmp_path / "nowhere")


def test_a_restore_puts_a_damaged_mark_right(directory: Path, tmp_path: Path) -> None:
    back_up(directory, tmp_path / "backup")
    (directory / "node.mark").write_bytes(b"nonsense")
    restore(tmp_path / "backup", directory, replace=True)
    with closing(NodeStore(directory)) as store:
        assert store.context(1) == Value(b"context", [])


def restore_killed(backup: Path, directory: Path, failpoint: str) -> None:
    """Restore in a program that is killed at a failpoint."""
    program = (
        "import sys; from pathlib import Path; from fedstate.store.backup import restore\n"
        "restore(Path(sys.argv[1]), Path(sys.argv[2]), replace=len(sys.argv) > 3)"
    )
    arguments = [str(backup), str(directory)]
    arguments += ["--replace"] if (directory / "node.db").exists() else []
    killed = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, VARIABLE: f"{failpoint}=kill"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.parametrize("failpoint", ["restore-copied", "restore-moved", "restore-marked"])
def test_a_restore_that_was_killed_is_done_again(
    directory: Path, tmp_path: Path, failpoint: str
) -> None:
    back_up(directory, tmp_path / "backup")
    with closing(NodeStore(directory)) as store:
        store.set_context(1, 1, Value(b"later"))
    for place in (directory, tmp_path / "new"):
        there = place.exists()
        restore_killed(tmp_path / "backup", place, failpoint)
        restore(tmp_path / "backup", place, replace=there)
        with closing(NodeStore(place)) as store:
            assert store.context(1) == Value(b"context", [])
        assert not (place / "node.db.restoring").exists()


def test_a_store_is_as_it_was_after_a_restore_that_was_killed_early(
    directory: Path, tmp_path: Path
) -> None:
    back_up(directory, tmp_path / "backup")
    restore_killed(tmp_path / "backup", directory, "restore-copied")
    assert (directory / "node.db.restoring").exists()
    with closing(NodeStore(directory)) as store:
        assert store.context(1) == Value(b"context", [])
    assert not (directory / "node.db.restoring").exists()


@pytest.mark.parametrize("present", [False, True])
def test_a_restore_to_a_full_disk_leaves_nothing_and_is_done_again(
    directory: Path, tmp_path: Path, present: bool
) -> None:
    back_up(directory, tmp_path / "backup")
    with small_disk(tmp_path / "disk", "size=6m") as disk:
        if present:
            restore(tmp_path / "backup", disk / "state")
        before = sorted(each.name for each in disk.rglob("*"))
        fill(disk / "filler")
        with pytest.raises(StoreError, match=r"could not be restored .*No space left on device"):
            restore(tmp_path / "backup", disk / "state", replace=present)
        (disk / "filler").unlink()
        assert sorted(each.name for each in disk.rglob("*")) == before
        restore(tmp_path / "backup", disk / "state", replace=present)
        with closing(NodeStore(disk / "state")) as store:
            assert store.context(1) == Value(b"context", [])


def test_a_restore_that_fails_at_the_end_puts_the_store_back(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(directory, tmp_path / "backup")

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("fedstate.store.guard.Guard.advance", broken)
        with pytest.raises(StoreError, match="Input/output error"):
            restore(tmp_path / "backup", directory, replace=True)
    with closing(NodeStore(directory)) as store:
        assert store.context(1) == Value(b"context", [])


def test_a_store_is_moved_aside_twice_in_a_second(directory: Path, tmp_path: Path) -> None:
    back_up(directory, tmp_path / "backup")
    for _ in range(3):
        restore(tmp_path / "backup", directory, replace=True)
    assert len(list(directory.glob("replaced-*/node.db"))) == 3


def test_a_backup_in_a_directory_that_is_missing_says_so(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Make the directory '.*missing', or give a file in"):
        back_up(directory, tmp_path / "missing" / "backup")


@pytest.mark.parametrize("place", ["/proc/x", "/dev/null/x"])
def test_a_restore_to_where_nothing_can_be_made_says_what_to_do(
    directory: Path, tmp_path: Path, place: str
) -> None:
    back_up(directory, tmp_path / "backup")
    with pytest.raises(StoreError, match=f"to '{place}' .*Make it one that you may write to, or"):
        restore(tmp_path / "backup", Path(place))
