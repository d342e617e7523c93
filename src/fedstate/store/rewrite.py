"""Encrypting a store that is there, and decrypting it: a new database in place of the old one.

The old database and its files of content are never changed. The new ones are written beside
them and checked from end to end, and the database is put in its place in one step: whatever
happens, one of the two is there, whole. The files of the other are then named by nobody and go,
at the next start if need be. What was deleted long ago is not copied, so nothing of the plain
text is in the encrypted files.
"""

import errno
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fedstate.failpoints import reach
from fedstate.store.check import findings
from fedstate.store.chunks import Chunks
from fedstate.store.cipher import Cipher, new_wrapped_key, open_cipher
from fedstate.store.content import ContentDirectory, removing
from fedstate.store.content_writer import ContentWriter
from fedstate.store.database import (
    DATABASE,
    PAGE_SIZE,
    REWRITING,
    connect_unchanged,
    damaged,
    remove_leftovers,
    sync_directory,
    translated,
)
from fedstate.store.errors import (
    DamagedValueError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreInUseError,
    StoreKeyError,
)
from fedstate.store.guard import Guard
from fedstate.store.node_store import NodeStore
from fedstate.store.rows import COLUMNS, CheckedRows
from fedstate.store.schema import migrate
from fedstate.store.step_log import StepLog
from fedstate.store.values import ValueTable

# What is not in `COLUMNS`: each has a way of its own below.
_OTHERS = {
    *("migration", "value", "chunk", "value_chunk", "step_log"),
    *("content_file", "chunk_place"),
    *("delta", "delta_piece", "superseded"),
}


@dataclass(frozen=True)
class Rewritten:
    """What was written: the store's name, its last commit, and the bytes of its database."""

    store_id: str
    generation: int
    size: int


def encrypt(directory: Path, key: bytes) -> Rewritten:
    """Encrypt the store in a state directory with a key; no SuperNode may be running.

    Raises
    ------
    StoreInUseError
        A SuperNode uses the directory.
    StoreKeyError
        The store is encrypted.
    StoreError
        There is no store, it is damaged, or there is no room for the new one.
    """
    try:
        return _rewrite(directory, None, key)
    except StoreKeyError as error:
        raise StoreKeyError(
            f"The node store in '{directory}' is encrypted already. Give it another key with: "
            "fedstate state rotate-key"
        ) from error


def decrypt(directory: Path, key: bytes) -> Rewritten:
    """Decrypt the store in a state directory; no SuperNode may be running.

    Raises
    ------
    StoreInUseError
        A SuperNode uses the directory.
    StoreKeyError
        The store is not encrypted, or has another key.
    StoreError
        There is no store, it is damaged, or there is no room for the new one.
    """
    return _rewrite(directory, key, None)


def _rewrite(directory: Path, old: bytes | None, new: bytes | None) -> Rewritten:
    # Checks everything, moves what is in the log into the database and removes the log.
    NodeStore(directory, key=old, create=False).close()
    path = directory / DATABASE
    guard = Guard(directory)
    try:
        remove_leftovers(directory)
        if path.with_name(f"{DATABASE}-wal").exists():
            raise StoreInUseError(f"Another program reads '{path}'. End it, then try again.")
        with removing(directory) as alone:
            if not alone:
                raise StoreInUseError(f"Another program reads '{path}'. End it, then try again.")
            try:
                _replace(directory, old, new)
            finally:
                _remove_content(directory)
        return Rewritten(str(guard.store_id), guard.generation, _size_of(directory))
    except (StoreFullError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreError(
            f"The disk of '{directory}' has no room for a second copy of the store, which takes "
            f"{_size_of(directory)} bytes; nothing was changed. Free space, then try again."
        ) from error
    finally:
        remove_leftovers(directory)
        guard.close()


def _replace(directory: Path, old: bytes | None, new: bytes | None) -> None:
    path, aside = directory / DATABASE, directory / REWRITING
    writer = ContentWriter(directory)
    try:
        with translated(path):
            _copy(path, aside, writer, old, new)
    except DamagedValueError as error:
        raise damaged(directory, str(error)) from error
    finally:
        writer.close()
    with aside.open("rb+") as written:
        os.fsync(written.fileno())
    reach("rewrite-copied")
    aside.replace(path)
    reach("rewrite-replaced")
    sync_directory(directory)


def _size_of(directory: Path) -> int:
    return (directory / DATABASE).stat().st_size + ContentDirectory(directory).disk_bytes


def _remove_content(directory: Path) -> None:
    """Remove the files of content that the database in place does not name."""
    content = ContentDirectory(directory)
    with closing(connect_unchanged(directory / DATABASE, directory)) as database:
        named = {each for (each,) in database.execute("SELECT file_id FROM content_file")}
    for file_id in content.files().keys() - named:
        content.file(file_id).unlink()


def _copy(
    path: Path, aside: Path, writer: ContentWriter, old: bytes | None, new: bytes | None
) -> None:
    os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with (
        closing(connect_unchanged(path, path.parent)) as source,
        closing(sqlite3.connect(aside, isolation_level=None)) as target,
    ):
        # As in `database`, but for a file that counts only when it is whole.
        for setting in (PAGE_SIZE, "auto_vacuum = INCREMENTAL", "journal_mode = OFF"):
            target.execute(f"PRAGMA {setting}")
        target.execute("PRAGMA synchronous = OFF")
        migrate(target)
        (wrapped,) = source.execute("SELECT wrapped_key FROM store").fetchone()
        wrapped_new = new and new_wrapped_key(new)
        cipher = open_cipher(wrapped_new, new)
        copy = Copy(source, open_cipher(wrapped, old), target, cipher, writer)
        copy.everything(wrapped_new)
        if problem := next(findings(target, cipher, writer.content), None):
            raise StoreDamagedError(f"The copy of '{path}' is wrong: {problem}.")
        target.execute("PRAGMA journal_mode = WAL")


class Copy:
    """A copy of all tables from one database to another, with another cipher.

    Parameters
    ----------
    source, target : sqlite3.Connection
        The databases, of one schema; the second one is empty.
    old, new : Cipher
        Their ciphers.
    writer : ContentWriter
        What writes the content of both into the state directory.
    """

    def __init__(
        self,
        source: sqlite3.Connection,
        old: Cipher,
        target: sqlite3.Connection,
        new: Cipher,
        writer: ContentWriter,
    ) -> None:
        self._source, self._old = source, old
        self._target, self._new = target, new
        self._writer = writer

    def everything(self, wrapped_key: bytes | None) -> None:
        """Copy all tables; `wrapped_key` is the data key of the new store.

        Raises
        ------
        StoreError
            There is a table that this class does not know.
        DamagedValueError
            A chunk is not what was stored.
        """
        tables = self._source.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        unknown = {name for (name,) in tables} - COLUMNS.keys() - _OTHERS
        if unknown:
            raise StoreError(f"The tables {sorted(unknown)} cannot be copied.")
        self._target.execute("BEGIN")
        self._rows(wrapped_key)
        self._chunks()
        self._values()
        self._log()
        self._target.execute("COMMIT")

    def _rows(self, wrapped_key: bytes | None) -> None:
        source = CheckedRows(self._source, self._old)
        target = CheckedRows(self._target, self._new)
        for table in COLUMNS:
            for row in source.find(table):
                changed = {"wrapped_key": wrapped_key} if table == "store" else {}
                target.put(table, row | changed)

    def _chunks(self) -> None:
        source = Chunks(self._source, self._old, self._writer.content)
        target = Chunks(self._target, self._new, self._writer.content, self._writer)
        sizes = dict(
            self._source.execute(
                "SELECT chunk_id, max(size) FROM value_chunk JOIN value USING (value_id) "
                "GROUP BY chunk_id"
            ).fetchall()
        )
        for number, plain in source.everything():
            # What is put together was not when the store was opened, and has a new digest here.
            if self._old.digest(plain) != source.digest(number):
                raise DamagedValueError(f"chunk {number} does not have its checksum")
            digest = self._new.digest(plain)
            if source.deltas.base(number) is None:
                target.write(digest, memoryview(plain), sizes.get(number, 0), number)
            else:
                self._target.execute(
                    "INSERT INTO chunk (chunk_id, digest, data) VALUES (?, ?, x'')",
                    (number, digest),
                )
        target.deltas.copy(source.deltas)
        target.finish()

    def _values(self) -> None:
        for row in self._source.execute("SELECT * FROM value_chunk"):
            self._target.execute("INSERT INTO value_chunk VALUES (?, ?, ?, ?)", row)
        for row in self._source.execute("SELECT * FROM superseded"):
            self._target.execute("INSERT INTO superseded VALUES (?, ?, ?)", row)
        values = ValueTable(self._target, self._new)
        columns = "value_id, header, parts, size, released"
        for number, header, *rest in self._source.execute(f"SELECT {columns} FROM value"):  # noqa: S608
            plain = self._old.decrypt(header)
            self._target.execute(
                f"INSERT INTO value ({columns}, seal) VALUES (?, ?, ?, ?, ?, x'')",  # noqa: S608
                (number, self._new.encrypt(plain), *rest),
            )
            values.seal(number)
        # A number is never given twice.
        self._target.execute("DELETE FROM sqlite_sequence")
        for row in self._source.execute("SELECT name, seq FROM sqlite_sequence"):
            self._target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", row)

    def _log(self) -> None:
        target = StepLog(self._target, CheckedRows(self._target, self._new), self._new)
        source = StepLog(self._source, CheckedRows(self._source, self._old), self._old)
        for sequence, chain_id, number, message, record, signature in source.stored_rows():
            target.store_row(sequence, chain_id, number, message, record, signature)
