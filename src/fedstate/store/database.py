"""Connections to the node store's database, and SQLite's errors as the store's own."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedstate.os_errors import sentence
from fedstate.store.errors import StoreAccessError, StoreDamagedError, StoreError
from fedstate.store.room import full

DATABASE = "node.db"
# What a restore, and a store that gets another cipher, write beside the database.
RESTORING, REWRITING = DATABASE + ".restoring", DATABASE + ".rewriting"
RESTORING_CONTENT = "node.content.restoring"
LOG_BYTES = 64 * 1024 * 1024

# Large content is elsewhere, and a commit writes some thirty pages whole, however little changed
# in them: with the largest page 2.3 MB, with this one 0.1 MB.
PAGE_SIZE = "page_size = 4096"
_SETTINGS = (
    PAGE_SIZE,
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    # A checkpoint copies the log into the database; `StoreFile.maintain` does it between
    # steps, so that no step waits for it.
    "wal_autocheckpoint = 0",
    f"journal_size_limit = {LOG_BYTES}",
)

# The second one is of the index of the log, whose file cannot grow.
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
# SQLite does not say which file, nor why. Its SQLITE_IOERR is a disk's: files are open then.
_ACCESS = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")
# Also who only looks at a store, or frees a run of it, may find that.
LOOK_AT_THE_DISK = "Look at the disk, then start the SuperNode, or give the command, once more."
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


def connect_unchanged(path: Path, aside: Path) -> sqlite3.Connection:
    """Open the database at `path` for reading: no lock, no file beside it, nothing written.

    Parameters
    ----------
    path : Path
        The database, which another process may be writing to.
    aside : Path
        An empty directory, for a copy where SQLite cannot read the database otherwise.
    """
    log = path.with_name(path.name + "-wal")
    if not log.exists():
        # No SuperNode has it open: SQLite needs no lock, and no files beside it.
        return _open(path, "immutable=1")
    if path.with_name(path.name + "-shm").exists():
        try:
            connection = _open(path, "mode=ro")
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            pass
        else:
            return connection
    # The log of a SuperNode that was killed: SQLite would write beside it to read it.
    for each in (path, log):
        shutil.copyfile(each, aside / each.name)
    return _open(aside / path.name, "mode=rw")


def _open(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)


def is_full(error: sqlite3.Error) -> bool:
    """Return whether SQLite found no room on the disk."""
    return getattr(error, "sqlite_errorname", "") in _FULL


@contextmanager
def translated(path: Path, *, write: bool = True) -> Iterator[None]:
    """Raise SQLite's errors as the store's, each in one sentence with the way out.

    Parameters
    ----------
    path : Path
        The database.
    write : bool
        Whether its files have to be such that this user may write to them, too.

    Raises
    ------
    StoreFullError
        There is no room on the disk.
    StoreDamagedError
        The file is not a database any more.
    StoreAccessError
        This user may not use a file of it.
    StoreError
        The disk or SQLite failed otherwise.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if is_full(error):
            raise full(path.parent) from error
        if name.startswith(_DAMAGE):
            raise damaged(path.parent, str(error)) from error
        if name.startswith(_ACCESS) and (culprit := _culprit(path, write=write)):
            raise StoreAccessError(sentence(culprit)) from error
        raise StoreError(
            f"The node store '{path}' failed ({name or type(error).__name__}: {error}). "
            f"{LOOK_AT_THE_DISK}"
        ) from error
    except UnicodeDecodeError as error:
        # Of SQLite's own message, or of a text in it.
        raise damaged(path.parent, "a text in its database is none") from error


def _culprit(path: Path, *, write: bool) -> OSError | None:
    """Return the error of the first file of a database that cannot be used, or None.

    None of them is opened: closing it again would release SQLite's locks.
    """
    wanted = os.R_OK | (os.W_OK if write else 0)
    beside = [path.with_name(path.name + end) for end in ("-wal", "-shm")]
    for file in (path.parent, path, *beside):
        try:
            file.stat()
        except FileNotFoundError as error:
            if file == path.parent:
                return error
            continue
        except OSError as error:
            return error
        code = 0
        if file == path and file.is_dir():
            code = errno.EISDIR
        elif not os.access(file, wanted, effective_ids=True):
            read_only = write and os.statvfs(file).f_flag & os.ST_RDONLY
            code = errno.EROFS if read_only else errno.EACCES
        if code:
            return OSError(code, os.strerror(code), str(file))
    return None


def remove_leftovers(directory: Path) -> None:
    """Remove what was not finished when its program was killed; the caller has the directory."""
    for name in (RESTORING, REWRITING):
        for end in ("", "-wal", "-shm", "-journal"):
            (directory / (name + end)).unlink(missing_ok=True)
    shutil.rmtree(directory / RESTORING_CONTENT, ignore_errors=True)


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


def no_store(directory: Path) -> StoreError:
    """Return the error for a directory in which there is no store."""
    return StoreError(
        f"There is no node store in '{directory}'. Give the directory that "
        "'fedstate supernode --state' uses."
    )


def nothing_there(place: Path) -> StoreError:
    """Return the error for a place in which there is neither a store nor a backup."""
    return StoreError(
        f"There is no node store in '{place}', and it is no backup. Give the directory that "
        "'fedstate supernode --state' uses, or a file of 'fedstate state backup'."
    )
