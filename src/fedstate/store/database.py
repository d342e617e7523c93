"""Connections to the node store's database, and SQLite's errors as the store's own."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedstate.store.errors import StoreDamagedError, StoreError, StoreFullError

DATABASE = "node.db"
LOG_BYTES = 64 * 1024 * 1024

# Values are megabytes: with the largest page a commit of 100 MB takes half the time that it takes
# with the default of 4096 bytes, and a small commit is not slower.
_SETTINGS = (
    "page_size = 65536",
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    # A checkpoint copies the log into the database; `StoreFile.maintain` does it between
    # steps, so that no step waits for it.
    "wal_autocheckpoint = 0",
    f"journal_size_limit = {LOG_BYTES}",
)

# SQLITE_ERROR is a table or column that is not there: our statements fit the schema.
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ", "SQLITE_ERROR")


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open the database at `path`; autocommit, transactions are explicit.

    One thread at a time may use the connection, and any may.

    Parameters
    ----------
    path : Path
        The database file; created if it does not exist and `write` is set.
    write : bool
        Whether to open it for writing, durably: write-ahead log, one fsync for each commit.
    """
    if not write:
        # Not mode=ro: SQLite could not read a log that a killed SuperNode left.
        uri = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30
        )
        connection.execute("PRAGMA query_only = ON")
        return connection
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    path.chmod(0o600)
    try:
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as the store's, each in one sentence with the way out.

    Raises
    ------
    StoreFullError
        There is no room on the disk.
    StoreDamagedError
        The file is not a database any more.
    StoreError
        The disk or SQLite failed otherwise.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            raise StoreFullError(
                f"The disk of '{path.parent}' is full, so the new state was not stored; the "
                "old state is still there. Free space or shorten the retention."
            ) from error
        if name.startswith(_DAMAGE):
            raise damaged(path.parent, str(error)) from error
        raise StoreError(
            f"The node store '{path}' failed ({name or type(error).__name__}: {error}). "
            "Look at the disk, then start the SuperNode again."
        ) from error


def sync_directory(directory: Path) -> None:
    """Make the names of the files in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def damaged(directory: Path, finding: str) -> StoreDamagedError:
    """Return the error for a damaged store, with what was found and how to go on."""
    return StoreDamagedError(
        f"The node store in '{directory}' is damaged: {finding}. Look at it with: fedstate "
        f"state check --state {directory} and go back to a backup with: fedstate state restore "
        f"BACKUP --state {directory} --replace"
    )
