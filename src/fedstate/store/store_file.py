"""Opening, checking, committing to and closing a node store, whatever it contains."""

import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from fedstate.failpoints import reach
from fedstate.files import make_directory
from fedstate.logs import logger
from fedstate.store.check import findings
from fedstate.store.checkpoints import Checkpoints
from fedstate.store.chunks import Chunks
from fedstate.store.cipher import new_wrapped_key, open_cipher, rewrap
from fedstate.store.content import Content
from fedstate.store.content_writer import ContentWriter
from fedstate.store.database import (
    DATABASE,
    connect,
    damaged,
    is_full,
    no_store,
    remove_leftovers,
    sync_directory,
    translated,
)
from fedstate.store.digests import digesting
from fedstate.store.early_sync import EarlySync
from fedstate.store.equal_chunks import EarlierChunks
from fedstate.store.errors import (
    DamagedValueError,
    StoreForeignError,
    StoreFullError,
    StoreKeyError,
)
from fedstate.store.guard import MARK, Guard, mark_problem
from fedstate.store.kept_states import KeptStates
from fedstate.store.readers import Readers, Snapshot
from fedstate.store.room import Room
from fedstate.store.rows import CheckedRows, Row
from fedstate.store.schema import migrate, version
from fedstate.store.step_log import StepLog
from fedstate.store.strays import strays
from fedstate.store.values import DigestedValue, Value, ValueTable

Result = TypeVar("Result")

_OPENING_BYTES = 16


class StoreFile:
    """One open node store, locked against other processes and checked from end to end.

    Any thread may use it. Commits follow each other: one transaction writes at a time, and it is
    durable when it returns. Reads wait for no commit; see `Readers` for what they see. Before a
    transaction begins, and not in it, the digests of what it stores are begun.

    The lock of those who write is taken first; while it is held, nobody waits for anything but
    the disk and, to empty the log, for the reads that are under way.

    Parameters
    ----------
    directory : Path
        The state directory.
    key : bytes, optional
        The encryption key, 32 bytes; None for a store that is not encrypted.
    create : bool
        Whether to make a new store in an empty or missing directory.
    reserve : int
        The bytes that are kept free for the ways out of a full disk; see `Room`.

    Attributes
    ----------
    opening : bytes
        A random name for the time in which it is open.
    room : Room
        Its room on the disk.

    Raises
    ------
    StoreInUseError
        Another process holds the store.
    StoreDamagedError
        A file is missing, a checksum is wrong, or the database is an older copy.
    StoreForeignError
        A newer fedstate or another program wrote the database.
    StoreKeyError
        The key is missing or wrong.
    StoreError
        There is no store and `create` is not set.
    """

    def __init__(
        self,
        directory: Path,
        *,
        key: bytes | None = None,
        create: bool = True,
        reserve: int = 0,
    ) -> None:
        self.directory = directory
        self.path = directory / DATABASE
        if not create and not (self.path.exists() or (directory / MARK).exists()):
            raise no_store(directory)
        make_directory(directory, 0o700)
        self._early_sync = EarlySync(self.path.with_name(f"{self.path.name}-wal"))
        self._content = ContentWriter(directory)
        self._earlier = EarlierChunks()
        self._write_lock = threading.RLock()
        self.opening = os.urandom(_OPENING_BYTES)
        marked = (directory / MARK).exists()
        self.guard = Guard(directory)
        remove_leftovers(directory)
        self.room = Room(directory, reserve)
        try:
            if self.room.is_used_up:
                # Whatever else a program writes at its start finds room, too.
                self.room.give_up()
            self._with_reserve(lambda: self._begin(key))
        except BaseException:
            self._content.close()
            self.room.close()
            if not marked and self.guard.store_id is None:
                # A store that was refused for want of its mark does not get an empty one.
                self.guard.path.unlink(missing_ok=True)
            self.guard.close()
            raise

    def _begin(self, key: bytes | None) -> None:
        self._connect()
        try:
            self.room.open(self.path)
            self._open(key)
            self.room.take()
        except BaseException:
            self._db.close()
            self.room.close()
            raise

    def _connect(self) -> None:
        if self.guard.store_id is not None and not self.path.exists():
            raise damaged(self.directory, f"the file '{DATABASE}' is missing")
        with translated(self.path):
            self._db = connect(self.path, write=True)

    def _open(self, key: bytes | None) -> None:
        with self._translated():
            if self.guard.store_id is not None and version(self._db) == 0:
                raise damaged(self.directory, f"the file '{DATABASE}' is empty")
            migrate(self._db)
            found = self._db.execute("SELECT wrapped_key FROM store").fetchone()
            wrapped = found[0] if found else key and new_wrapped_key(key)
            cipher = open_cipher(wrapped, key)
            self._cipher = cipher
            self._rows = CheckedRows(self._db, cipher)
            self._chunks = Chunks(
                self._db, cipher, self._content.content, self._content, self._early_sync.written
            )
            self._values = ValueTable(self._db, cipher, self._chunks)
            if found is None:
                row: Row = {"only": 1, "store_id": uuid.uuid4().hex, "node": None}
                self._rows.put("store", row | {"generation": 0, "wrapped_key": wrapped})
            if problem := next(findings(self._db, cipher, self._content.content), None):
                raise DamagedValueError(problem)
            self._compare_with_mark()
            self._page_bytes = int(self._db.execute("PRAGMA page_size").fetchone()[0])
            self._steps = StepLog(self._db, self._rows, cipher, self.store_id, self.opening)
            self._kept = KeptStates(self._db, self._rows, self._values, self._steps)
            self._readers = Readers(self.path, cipher)
            self._checkpoints = Checkpoints(self.path, self._write_lock, self._readers, self.room)
            self._content.wait(strays(self._db, self._content.content))
            self._content.sweep()
        for each in (self.directory, self.directory.parent):
            sync_directory(each)

    def _compare_with_mark(self) -> None:
        store = _store_row(self._rows)
        store_id, generation = str(store["store_id"]), int(str(store["generation"]))
        mark = (self.guard.store_id, self.guard.generation)
        if problem := mark_problem(mark, store_id, generation):
            raise damaged(self.directory, problem)
        self.guard.advance(store_id, generation)

    @property
    def store_id(self) -> str:
        """The random name that the store got when it was created."""
        return str(self.guard.store_id)

    @property
    def generation(self) -> int:
        """The number of state commits so far."""
        return self.guard.generation

    @property
    def disk_bytes(self) -> int:
        """How much of the disk the database and the files of content take, without the log."""
        return self.path.stat().st_size + self._content.content.disk_bytes

    @property
    def log_bytes(self) -> int:
        """How much of the disk the log takes until it is emptied."""
        return self._checkpoints.log_bytes

    def bind(self, node: str) -> None:
        """Tie the store to a node's key; a store stays with its node.

        Parameters
        ----------
        node : str
            The fingerprint of the node's public key.

        Raises
        ------
        StoreForeignError
            The store belongs to another node.
        """
        owner = self.owner
        if owner is None:
            self.rebind(node)
        elif owner != node:
            raise StoreForeignError(
                f"The node store in '{self.directory}' belongs to the node with key "
                f"{owner}, and this SuperNode has key {node}. Start it with its own "
                "private key, or give it a state directory of its own."
            )

    @property
    def owner(self) -> str | None:
        """The fingerprint of the key of the node that the store belongs to; None for nobody's."""
        with self._reading() as now:
            node = _store_row(now.rows)["node"]
        return None if node is None else str(node)

    def rebind(self, node: str) -> None:
        """Tie the store to a key, whoever's it was: the caller knows that it is the same node."""
        with self._transaction():
            self._rows.put("store", _store_row(self._rows) | {"node": node})

    def rotate_key(self, old: bytes, new: bytes) -> None:
        """Encrypt the store's data key under `new` instead of `old`; raise StoreKeyError."""
        with self._transaction():
            row = _store_row(self._rows)
            wrapped = row["wrapped_key"]
            if not isinstance(wrapped, bytes):
                raise StoreKeyError(
                    "The node store is not encrypted, so it has no key to rotate."
                )
            wrapped = rewrap(wrapped, old, new)
            self._rows.put("store", row | {"wrapped_key": wrapped})

    def findings(self, connection: sqlite3.Connection, content: Content) -> Iterator[str]:
        """Yield what is wrong with a copy of the store; see `check.findings`."""
        return findings(connection, self._cipher, content)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated(self.path):
                yield
        except DamagedValueError as error:
            raise damaged(self.directory, str(error)) from error

    @contextmanager
    def _reading(self) -> Iterator[Snapshot]:
        """Read in a block, all of it from one commit."""
        with self._translated(), self._readers.snapshot() as snapshot:
            yield snapshot

    @contextmanager
    def _storing(self, *values: Value) -> Iterator[list[DigestedValue]]:
        """Run a block, which may begin a transaction, that stores values."""
        with digesting(self._cipher, *values, earlier=self._earlier) as digested:
            yield digested

    @contextmanager
    def _transaction(
        self, *, commits_state: bool = False, makes_room: bool = False
    ) -> Iterator[int]:
        """Run a block in one durable transaction; yield the number of the commit.

        The block reads and writes through `_rows`, `_values` and `_db`. A commit that does not
        make room needs the reserve to be there.
        """
        self._readers.forbid()
        with self._translated(), self._write_lock:
            self._checkpoints.shorten()
            if commits_state and not makes_room:
                self.room.need()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                generation = self.generation + commits_state
                yield generation
                if commits_state:
                    self._rows.put("store", _store_row(self._rows) | {"generation": generation})
                reach("store-write")
                self._chunks.finish()
                self._provide()
                self._commit()
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._content.discard()
                raise
            self._content.committed(self._readers.begun)
            if commits_state:
                self._mark(generation)

    def _commit(self) -> None:
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            # A log that could not be synced may be whole on the disk all the same.
            self._content.discard(doubtful=not is_full(error))
            raise

    def _mark(self, generation: int) -> None:
        try:
            self.guard.advance(self.store_id, generation)
        except OSError as error:
            # The commit itself is durable; only an older copy might go unnoticed once more.
            logger.warning("The file '%s' could not be written: %s", self.guard.path, error)
            self.guard.generation = generation

    def _provide(self) -> None:
        """Make sure that the log can be moved into the database after this transaction."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        self.room.provide(pages * self._page_bytes)

    def _with_reserve(self, action: Callable[[], Result]) -> Result:
        """Do what makes room, or begins; if there is none for it, give the reserve up first."""
        try:
            return action()
        except StoreFullError:
            if not self.room.held:
                raise
            self.room.give_up()
            return action()

    def close(self) -> None:
        """Wait for who reads or writes, move the log into the database, release the directory."""
        self._readers.close()
        with self._write_lock:
            try:
                self._early_sync.close()
                with translated(self.path):
                    self._db.close()
                self._content.sweep()
            finally:
                self._content.close()
                self.room.close()
                self.guard.close()


def _store_row(rows: CheckedRows) -> Row:
    row = rows.one("store", 1)
    if row is None:
        raise DamagedValueError("the row of table 'store' is missing")
    return row
