"""Reading a node store on many threads, beside the one that writes to it."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedstate.store.chunks import Chunks
from fedstate.store.cipher import Cipher
from fedstate.store.content import ContentDirectory
from fedstate.store.database import connect
from fedstate.store.errors import StoreError
from fedstate.store.rows import CheckedRows
from fedstate.store.step_log import StepLog
from fedstate.store.values import ValueTable

# As many steps as usually are under way at once, and as many other requests of executors.
LIMIT = 8


@dataclass(frozen=True)
class Snapshot:
    """What was committed when a read began.

    Attributes
    ----------
    db : sqlite3.Connection
        A read-only connection, in a transaction.
    rows : CheckedRows
        The rows.
    values : ValueTable
        The values.
    log : StepLog
        The log of steps.
    """

    db: sqlite3.Connection
    rows: CheckedRows
    values: ValueTable
    log: StepLog


class Readers:
    """Read-only connections to a store, opened when they are needed.

    What holds for every thread:

    - Everything that a block reads is of one commit: the last one that had returned when the
      block read its first row, or one that was made meanwhile.
    - A block waits for no commit, however long that takes. It waits for another block to end
      when as many as `limit` read, and for the moment in which the log is emptied.
    - A thread that reads takes no other lock of the store: neither may it begin another block
      nor write, which is a `RuntimeError`. That is why a writer may wait for readers.
    - After `close` nothing is read any more, and no connection is left.

    Parameters
    ----------
    path : Path
        The database.
    cipher : Cipher
        The store's cipher.
    limit : int
        How many threads may read at once.
    """

    def __init__(self, path: Path, cipher: Cipher, limit: int = LIMIT) -> None:
        self._path = path
        self._cipher = cipher
        self._limit = limit
        # Guards what follows; it is never held while something is read.
        self._changed = threading.Condition()
        self._idle: list[Snapshot] = []
        # Each thread, and the number of its read.
        self._reading: dict[int, int] = {}
        self._begun = 0
        self._paused = False
        self._closed = False

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Read in the block.

        Raises
        ------
        StoreError
            The store has been closed.
        RuntimeError
            This thread reads already.
        """
        self.forbid()
        snapshot = self._begin()
        try:
            if snapshot is None:
                snapshot = self._connect()
            snapshot.db.execute("BEGIN")
            yield snapshot
            # Nothing was written: it ends the snapshot.
            snapshot.db.execute("ROLLBACK")
        except BaseException:
            # It may be in the middle of a query, or the file be damaged: the next read has a new
            # connection.
            if snapshot is not None:
                with contextlib.suppress(sqlite3.Error):
                    snapshot.db.close()
                snapshot = None
            raise
        finally:
            self._end(snapshot)

    def forbid(self) -> None:
        """Raise RuntimeError if this thread reads: it may then neither read again nor write."""
        with self._changed:
            if threading.get_ident() in self._reading:
                raise RuntimeError("A thread that reads the node store must not use it again.")

    @property
    def begun(self) -> int:
        """The number of the read that has begun last."""
        with self._changed:
            return self._begun

    @property
    def oldest(self) -> int | None:
        """The number of the oldest read that is under way, or None."""
        with self._changed:
            return min(self._reading.values(), default=None)

    def _begin(self) -> Snapshot | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or not (self._paused or len(self._reading) >= self._limit)
            )
            if self._closed:
                raise StoreError(
                    f"The node store '{self._path}' is closed. Start the SuperNode again."
                )
            self._begun += 1
            self._reading[threading.get_ident()] = self._begun
            return self._idle.pop() if self._idle else None

    def _connect(self) -> Snapshot:
        db = connect(self._path, write=False)
        rows = CheckedRows(db, self._cipher)
        log = StepLog(db, rows, self._cipher)
        chunks = Chunks(db, self._cipher, ContentDirectory(self._path.parent))
        return Snapshot(db, rows, ValueTable(db, self._cipher, chunks), log)

    def _end(self, snapshot: Snapshot | None) -> None:
        with self._changed:
            self._reading.pop(threading.get_ident(), None)
            if snapshot is not None:
                self._idle.append(snapshot)
            self._changed.notify_all()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Wait until nobody reads, and let nobody begin during the block.

        One thread at a time: the caller holds the lock of those who write.
        """
        self.forbid()
        with self._changed:
            self._paused = True
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._reading)
            yield
        finally:
            with self._changed:
                self._paused = False
                self._changed.notify_all()

    def close(self) -> None:
        """Let nobody begin to read, wait for those who do, and close; again is without effect."""
        self.forbid()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._reading)
            idle, self._idle = self._idle, []
        for snapshot in idle:
            snapshot.db.close()
