"""Rows with a checksum over their columns."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.store.cipher import AesGcmCipher, PlainCipher
from fedstate.store.errors import DamagedValueError
from fedstate.store.rows import COLUMNS, CheckedRows, Row
from fedstate.store.schema import MIGRATIONS, migrate
from fedstate.store.values import checksum

COLUMN = (
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.floats(allow_nan=False)
)


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        yield connection


def row(run_id: str, since: float = 1.0) -> Row:
    return {"run_id": run_id, "since": since}


def test_a_row_is_inserted_replaced_found_and_deleted(db: sqlite3.Connection) -> None:
    rows = CheckedRows(db, PlainCipher())
    rows.put("unknown_run", row("1", 3.0))
    rows.put("unknown_run", row("2", 2.0))
    rows.put("unknown_run", row("1", 1.0))
    assert rows.one("unknown_run", "1") == row("1", 1.0)
    assert rows.one("unknown_run", "3") is None
    assert rows.find("unknown_run", "since") == [row("1", 1.0), row("2", 2.0)]
    assert rows.find("unknown_run", since=2.0) == [row("2", 2.0)]
    rows.delete("unknown_run", "1")
    assert rows.find("unknown_run") == [row("2", 2.0)]


def test_some_columns_of_a_row_are_changed(db: sqlite3.Connection) -> None:
    rows = CheckedRows(db, PlainCipher())
    for run_id in ("1", "2"):
        rows.put("unknown_run", row(run_id, 1.0))
    assert rows.change("unknown_run", row("1", 1.0), since=2.0) == row("1", 2.0)
    assert rows.find("unknown_run", "run_id") == [row("1", 2.0), row("2", 1.0)]


def test_a_row_that_was_altered_is_refused(db: sqlite3.Connection) -> None:
    rows = CheckedRows(db, PlainCipher())
    rows.put("unknown_run", row("1"))
    db.execute("UPDATE unknown_run SET since = 2.0")
    with pytest.raises(DamagedValueError, match="the row '1' of table 'unknown_run'"):
        rows.one("unknown_run", "1")


def test_a_row_of_an_encrypted_store_has_its_own_checksum(db: sqlite3.Connection) -> None:
    CheckedRows(db, AesGcmCipher(b"1" * 32)).put("unknown_run", row("1"))
    for other in (PlainCipher(), AesGcmCipher(b"2" * 32)):
        with pytest.raises(DamagedValueError):
            CheckedRows(db, other).one("unknown_run", "1")


def test_every_column_of_the_schema_is_covered(db: sqlite3.Connection) -> None:
    # Rows of `step_log` and `delta` have checksums of their own; see `StepLog` and `Deltas`.
    assert len(MIGRATIONS) == 8, "a new table belongs into COLUMNS, or is addressed by content"
    for table, columns in COLUMNS.items():
        found = [each[1] for each in db.execute(f"PRAGMA table_info({table})")]
        assert set(found) == {*columns, "seal"}


@given(first=st.lists(COLUMN, max_size=3), second=st.lists(COLUMN, max_size=3))
def test_other_columns_have_another_checksum(first: list[object], second: list[object]) -> None:
    cipher = PlainCipher()
    same = repr(first) == repr(second)
    assert (checksum(cipher, *first) == checksum(cipher, *second)) == same
