"""Moving the log of a store into its database, beside those who read and write."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedstate.store.database import LOG_BYTES, translated
from fedstate.store.readers import Readers
from fedstate.store.room import Room


class Checkpoints:
    """The checkpoints of one store.

    Parameters
    ----------
    path : Path
        The database.
    lock : RLock
        The lock of those who write.
    readers : Readers
        Those who read.
    room : Room
        The room on the disk.
    """

    def __init__(self, path: Path, lock: threading.RLock, readers: Readers, room: Room) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._lock = lock
        self._readers = readers
        self._room = room

    def work(self) -> None:
        """Move what is in the log; empty it if it has grown large.

        Only emptying waits for the reads under way, and makes new ones wait.
        """
        with self._connection() as connection:
            passive = "PRAGMA wal_checkpoint(PASSIVE)"
            if not self._room.is_short:
                connection.execute(passive).fetchone()
            else:
                # It ends with cutting off what a transaction, meanwhile, allocated for itself.
                with self._lock:
                    connection.execute(passive).fetchone()
            if self.log_bytes > LOG_BYTES:
                # Whatever was written meanwhile keeps SQLite from using the log again from its
                # beginning: it would grow by every large commit.
                self._empty(connection)

    def empty(self) -> None:
        """Move what is in the log, and give its space back."""
        with self._connection() as connection:
            self._empty(connection)

    def shorten(self) -> None:
        """Empty the log if it takes much of what is left of the disk."""
        if self.log_bytes > self._room.free_bytes // 2:
            self.empty()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with translated(self._path):
            # Of its own, and without patience: a reader, such as a backup, is not waited for.
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=0)
            try:
                yield connection
            finally:
                connection.close()

    def _empty(self, connection: sqlite3.Connection) -> None:
        with self._lock, self._readers.paused():
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    @property
    def log_bytes(self) -> int:
        """How much of the disk the log takes."""
        return self._log.stat().st_size if self._log.exists() else 0
