"""Values: a small header and large blobs, the blobs stored by content.

A blob is cut into chunks of one mebibyte; a chunk that the store already holds, because a layer
did not change or because the reply carries the same weights as the state, is not written again.
Every chunk is checked against its digest when it is read, and a value against its checksum.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from fedstate.store.cipher import Buffer, Cipher

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Value:
    """What is stored under one name: a `header` and any number of larger `blobs`."""

    header: bytes
    blobs: Sequence[Buffer] = field(default=())

    @property
    def size(self) -> int:
        """The number of bytes in header and blobs."""
        return len(self.header) + sum(memoryview(blob).nbytes for blob in self.blobs)


@dataclass(frozen=True)
class DigestedValue:
    """A value, and the chunks of its blobs with their digests; see `fedstate.store.digests`.

    Attributes
    ----------
    value : Value
        The value.
    chunks : iterable of (int, bytes, memoryview)
        Number of the blob, digest and bytes of each chunk in order, to be gone through once;
        waits for a digest that is still being computed.
    """

    value: Value
    chunks: Iterable[tuple[int, bytes, memoryview]]


class DamagedValueError(Exception):
    """A value is not what was stored; the text says what was found."""


def checksum(cipher: Cipher, *columns: object) -> bytes:
    """Return the digest over the columns of one row (strings, numbers, bytes, None, lists)."""
    text = json.dumps(columns, default=lambda column: {"bytes": bytes(column).hex()})
    return cipher.digest(text.encode())


class ValueTable:
    """The values in one database; the caller opens and commits the transactions.

    Parameters
    ----------
    connection
        The connection to the database.
    cipher
        How values are addressed and written.
    written
        Is told of the bytes of each chunk that was written.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        cipher: Cipher,
        written: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._db = connection
        self._cipher = cipher
        self._written = written

    def put(self, digested: DigestedValue) -> int:
        """Store a value and return its number."""
        value = digested.value
        header = bytes(value.header)
        cursor = self._db.execute(
            "INSERT INTO value (header, parts, size, seal) VALUES (?, ?, ?, x'')",
            (self._cipher.encrypt(header), len(value.blobs), value.size),
        )
        value_id = cursor.lastrowid
        assert value_id is not None, "SQLite numbers every row that it inserts"  # noqa: S101
        digests: list[tuple[int, bytes]] = []
        for blob, digest, chunk in digested.chunks:
            digests.append((blob, digest))
            self._db.execute(
                "INSERT INTO value_chunk VALUES (?, ?, ?, ?)",
                (value_id, len(digests) - 1, blob, self._put_chunk(digest, chunk)),
            )
        self._db.execute(
            "UPDATE value SET seal = ? WHERE value_id = ?",
            (self._checksum(value_id, len(value.blobs), value.size, header, digests), value_id),
        )
        return value_id

    def _put_chunk(self, digest: bytes, chunk: memoryview) -> int:
        known = self._db.execute("SELECT chunk_id FROM chunk WHERE digest = ?", (digest,))
        if row := known.fetchone():
            return int(row[0])
        # Encrypted here and not before the transaction: that would be a second copy of the value
        # in memory, and work for chunks that the store has. It takes a tenth of the insertion.
        cursor = self._db.execute(
            "INSERT INTO chunk (digest, data) VALUES (?, ?)",
            (digest, self._cipher.encrypt(chunk)),
        )
        self._written(chunk.nbytes)
        return int(cursor.lastrowid or 0)

    def get(self, value_id: int) -> Value:
        """Load a value, checked.

        Raises
        ------
        DamagedValueError
            It is missing or not what was stored.
        """
        header, count = self._checked_header(value_id)
        blobs: list[bytes | bytearray] = [b""] * count
        for blob, _, data in self._read_chunks(value_id):
            if not blobs[blob]:
                blobs[blob] = data
                continue
            # Grows in place: chunks that are joined at the end are in memory twice.
            if isinstance(blobs[blob], bytes):
                blobs[blob] = bytearray(blobs[blob])
            blobs[blob] += data
        return Value(header, [b if isinstance(b, bytes) else memoryview(b) for b in blobs])

    def header(self, value_id: int) -> bytes:
        """Load only the header of a value, checked; raise DamagedValueError."""
        return self._checked_header(value_id)[0]

    def check(self, value_id: int) -> None:
        """Read and check everything in a value; raise DamagedValueError."""
        self._checked_header(value_id)
        for _ in self._read_chunks(value_id):
            pass

    def _checked_header(self, value_id: int) -> tuple[bytes, int]:
        row = self._db.execute(
            "SELECT header, parts, size, seal FROM value WHERE value_id = ?", (value_id,)
        ).fetchone()
        if row is None:
            raise DamagedValueError(f"value {value_id} is missing")
        try:
            header = self._cipher.decrypt(row[0])
        except ValueError as error:
            raise DamagedValueError(f"the header of value {value_id} was altered") from error
        digests = self._db.execute(
            "SELECT part, digest FROM value_chunk LEFT JOIN chunk USING (chunk_id) "
            "WHERE value_id = ? ORDER BY position",
            (value_id,),
        ).fetchall()
        if row[3] != self._checksum(value_id, row[1], row[2], header, digests):
            raise DamagedValueError(f"value {value_id} does not have its checksum")
        return header, row[1]

    def _read_chunks(self, value_id: int) -> Iterator[tuple[int, bytes, bytes]]:
        rows = self._db.execute(
            "SELECT part, digest, data FROM value_chunk JOIN chunk USING (chunk_id) "
            "WHERE value_id = ? ORDER BY position",
            (value_id,),
        )
        # Closed at the first damaged chunk, too: an open query keeps its snapshot.
        with closing(rows):
            for blob, digest, stored in rows:
                try:
                    data = self._cipher.decrypt(stored)
                except ValueError:
                    data = b""
                if self._cipher.digest(data) != digest:
                    raise DamagedValueError(
                        f"a chunk of value {value_id} does not have its checksum"
                    )
                yield blob, digest, data

    def _checksum(self, value_id: int, *columns: object) -> bytes:
        return checksum(self._cipher, "value", value_id, *columns)

    def release(self, value_id: int | None) -> None:
        """Mark a value as no longer needed; `collect` removes it later."""
        self._db.execute("UPDATE value SET released = 1 WHERE value_id = ?", (value_id,))

    def collect(self) -> int:
        """Remove one released value and the chunks that only it used; return how many went."""
        row = self._db.execute("SELECT value_id FROM value WHERE released LIMIT 1").fetchone()
        if row is None:
            return 0
        chunks = self._db.execute(
            "SELECT DISTINCT chunk_id FROM value_chunk WHERE value_id = ?", row
        ).fetchall()
        self._db.execute("DELETE FROM value WHERE value_id = ?", row)
        self._db.executemany(
            "DELETE FROM chunk WHERE chunk_id = ?1 AND NOT EXISTS "
            "(SELECT 1 FROM value_chunk WHERE chunk_id = ?1)",
            chunks,
        )
        return 1
