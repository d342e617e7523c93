"""Migrations: ordered, each committed together with its record."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.store.logged import add_run, commit

from fedstate.store.backup import back_up
from fedstate.store.database import connect
from fedstate.store.errors import StoreForeignError
from fedstate.store.node_store import NodeStore
from fedstate.store.read_only import read_only
from fedstate.store.schema import MIGRATIONS, Migration, migrate, version


def tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {row[0] for row in rows}


def test_a_store_of_an_older_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "node.db", write=True)) as connection:
        migrate(connection, MIGRATIONS[:1])
        assert version(connection) == 1
        assert "step" not in tables(connection)
    with closing(NodeStore(tmp_path)) as store:
        assert version(store._db) == len(MIGRATIONS)
        assert "step" in tables(store._db)


def test_a_migration_that_fails_leaves_the_schema_as_it_was(tmp_path: Path) -> None:
    broken = Migration("broken", ("CREATE TABLE half (x)", "CREATE NONSENSE"))
    with closing(connect(tmp_path / "node.db", write=True)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, (*MIGRATIONS, broken))
        assert version(connection) == len(MIGRATIONS)
        assert "half" not in tables(connection)


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    NodeStore(tmp_path).close()
    with closing(connect(tmp_path / "node.db", write=True)) as connection:
        connection.execute("INSERT INTO migration VALUES (?, 'from the future')", (99,))
    with pytest.raises(StoreForeignError, match="has schema 99, and this fedstate knows"):
        NodeStore(tmp_path)


def test_the_database_of_another_program_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreForeignError, match="another program"):
        NodeStore(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        assert tables(connection) == {"theirs"}


def test_a_backup_of_an_earlier_release_is_read_and_stays_as_it_is(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path / "state")) as store:
        add_run(store, 1)
        commit(store, 1, 1, b"layer")
    with closing(sqlite3.connect(tmp_path / "state" / "node.db")) as connection, connection:
        for table in ("superseded", "delta_piece", "delta"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DELETE FROM migration WHERE version = ?", (len(MIGRATIONS),))
    back_up(tmp_path / "state", tmp_path / "backup")
    for place in (tmp_path / "backup", tmp_path / "state"):
        file = place if place.is_file() else place / "node.db"
        before = file.read_bytes()
        with read_only(place) as looked:
            assert looked.kept_context(1)[1].blobs == [b"layer"]
        assert file.read_bytes() == before
