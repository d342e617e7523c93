"""Connections: their settings, and SQLite's errors as the store's."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.bad_paths import bound_by_permissions

from fedstate.store.database import connect, damaged, translated
from fedstate.store.errors import StoreAccessError, StoreDamagedError, StoreError, StoreFullError


def test_a_connection_that_writes_is_durable(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "node.db", write=True)) as connection:
        settings = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint")
        }
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "wal_autocheckpoint": 0,
    }
    assert (tmp_path / "node.db").stat().st_mode & 0o777 == 0o600


def test_a_connection_that_reads_does_not_write(tmp_path: Path) -> None:
    with (
        closing(connect(tmp_path / "node.db", write=True)) as writer,
        closing(connect(tmp_path / "node.db", write=False)) as reader,
    ):
        writer.execute("CREATE TABLE t (x)")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("INSERT INTO t VALUES (1)")


def test_a_connection_that_reads_makes_no_database(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match="unable to open"),
        translated(tmp_path / "node.db"),
        closing(connect(tmp_path / "node.db", write=False)) as reader,
    ):
        reader.execute("SELECT 1")
    assert not (tmp_path / "node.db").exists()


@pytest.mark.parametrize(
    ("code", "expected", "message"),
    [
        ("SQLITE_FULL", StoreFullError, "is full"),
        ("SQLITE_CORRUPT", StoreDamagedError, "is damaged"),
        ("SQLITE_CORRUPT_INDEX", StoreDamagedError, "is damaged"),
        ("SQLITE_NOTADB", StoreDamagedError, "is damaged"),
        ("SQLITE_IOERR_SHORT_READ", StoreDamagedError, "is damaged"),
        ("SQLITE_IOERR_FSYNC", StoreError, r"SQLITE_IOERR_FSYNC: text\). Look at the disk"),
        ("SQLITE_BUSY", StoreError, "SQLITE_BUSY"),
        ("", StoreError, "DatabaseError: text"),
    ],
)
def test_each_error_of_sqlite_becomes_one_sentence(
    code: str, expected: type[StoreError], message: str
) -> None:
    error = sqlite3.DatabaseError("text")
    error.sqlite_errorname = code
    with pytest.raises(expected, match=message) as raised, translated(Path("/state/node.db")):
        raise error
    assert type(raised.value) is expected
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("write", [False, True])
def test_who_may_not_use_a_file_is_told_which(tmp_path: Path, write: bool) -> None:
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorname = "SQLITE_CANTOPEN"
    file = tmp_path / "node.db"
    file.touch(mode=0o400)
    with (
        bound_by_permissions(),
        pytest.raises(StoreError, match="may not be used" if write else "failed") as raised,
        translated(file, write=write),
    ):
        raise error
    # One who only reads needs no more than that.
    assert isinstance(raised.value, StoreAccessError) == write
    file.chmod(0)
    with (
        bound_by_permissions(),
        pytest.raises(StoreAccessError, match=r"node\.db' may not be used by this user"),
        translated(file, write=write),
    ):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(LookupError), translated(Path("node.db")):
        raise LookupError


def test_damage_names_the_way_back() -> None:
    assert "fedstate state restore BACKUP --state /state --replace" in str(
        damaged(Path("/state"), "x")
    )
