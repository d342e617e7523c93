"""Values: a small header and large blobs, the blobs stored by content.

A blob is cut into chunks of one mebibyte; a chunk that the store already holds, because a layer
did not change or because the reply carries the same weights as the state, is not written again.
Every chunk is checked against its digest when it is read, and a value against its checksum.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fedstate.store.chunks import SIZE_OF_DELTA, STORED_BYTES, Chunks
from fedstate.store.cipher import Buffer, Cipher
from fedstate.store.errors import DamagedValueError
from fedstate.store.packing import Packing
from fedstate.witness.digests import CHUNK_BYTES as DIGESTED_BYTES
from fedstate.witness.digests import state_digest

# The digest of a state is made of those of its chunks.
CHUNK_BYTES = DIGESTED_BYTES


@dataclass(frozen=True)
class Value:
    """What is stored under one name: a `header` and any number of larger `blobs`.

    Attributes
    ----------
    header, blobs
        What is stored.
    description : bytes, optional
        Of a Context: what its digest is over, beside the blobs; see `state_digest`. It is not
        stored: the header has it.
    """

    header: bytes
    blobs: Sequence[Buffer] = field(default=())
    description: Buffer | None = field(default=None, compare=False, repr=False)

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
    contents : iterable of bytes, optional
        The SHA-256 of each chunk, in order, of a value with a description; None where it is the
        digest by which the chunk is addressed.
    """

    value: Value
    chunks: Iterable[tuple[int, bytes, memoryview]]
    contents: Iterable[bytes] | None = None


@dataclass(frozen=True)
class StoredValue:
    """What came of storing a value.

    Attributes
    ----------
    value_id : int
        Its number.
    size, new_bytes : int
        The bytes of header and blobs, and of those that the store did not have.
    digest : bytes
        The digest of the state that it holds; see `state_digest`.
    """

    value_id: int
    size: int
    new_bytes: int
    digest: bytes


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
    chunks
        The chunks; without them, those of a database that has all of them as rows.
    """

    def __init__(
        self, connection: sqlite3.Connection, cipher: Cipher, chunks: Chunks | None = None
    ) -> None:
        self._db = connection
        self._cipher = cipher
        self._chunks = chunks or Chunks(connection, cipher)

    def put(self, digested: DigestedValue) -> int:
        """Store a value and return its number."""
        return self._put(digested)[0]

    def put_state(self, digested: DigestedValue) -> StoredValue:
        """Store a value that holds a state."""
        value = digested.value
        value_id, addresses, new_bytes = self._put(digested)
        contents = digested.contents or (address for _, address in addresses)
        blobs: list[list[bytes]] = [[] for _ in value.blobs]
        for (blob, _), content in zip(addresses, contents, strict=True):
            blobs[blob].append(content)
        description = value.header if value.description is None else value.description
        return StoredValue(value_id, value.size, new_bytes, state_digest(description, blobs))

    def _put(self, digested: DigestedValue) -> tuple[int, list[tuple[int, bytes]], int]:
        value = digested.value
        header, size = bytes(value.header), value.size
        cursor = self._db.execute(
            "INSERT INTO value (header, parts, size, seal) VALUES (?, ?, ?, x'')",
            (self._cipher.encrypt(header), len(value.blobs), size),
        )
        value_id = cursor.lastrowid
        assert value_id is not None, "SQLite numbers every row that it inserts"  # noqa: S101
        digests: list[tuple[int, bytes]] = []
        rows: list[tuple[int, int, int, int]] = []
        new_bytes = len(header)
        for blob, digest, chunk in digested.chunks:
            chunk_id, is_new = self._put_chunk(digest, chunk, size)
            new_bytes += chunk.nbytes * is_new
            rows.append((value_id, len(rows), blob, chunk_id))
            digests.append((blob, digest))
        self._db.executemany("INSERT INTO value_chunk VALUES (?, ?, ?, ?)", rows)
        self._db.execute(
            "UPDATE value SET seal = ? WHERE value_id = ?",
            (self._checksum(value_id, len(value.blobs), size, header, digests), value_id),
        )
        return value_id, digests, new_bytes

    def _put_chunk(self, digest: bytes, chunk: memoryview, value_bytes: int) -> tuple[int, bool]:
        known = self._chunks.find(digest)
        if known is not None:
            return known, False
        return self._chunks.write(digest, chunk, value_bytes), True

    def get(self, value_id: int) -> Value:
        """Load a value, checked.

        Raises
        ------
        DamagedValueError
            It is missing or not what was stored.
        """
        return self._get(value_id, None)

    def get_state(self, value_id: int) -> tuple[Value, list[list[bytes]]]:
        """Load a value that holds a state, checked, with the SHA-256 of each blob's chunks.

        Raises
        ------
        DamagedValueError
            It is missing or not what was stored.
        """
        contents: list[tuple[int, bytes]] = []
        value = self._get(value_id, contents)
        blobs: list[list[bytes]] = [[] for _ in value.blobs]
        for blob, content in contents:
            blobs[blob].append(content)
        return value, blobs

    def _get(self, value_id: int, contents: list[tuple[int, bytes]] | None) -> Value:
        header, count = self._checked_header(value_id)
        blobs: list[bytes | bytearray] = [b""] * count
        for blob, address, data in self._read_chunks(value_id):
            if contents is not None:
                contents.append((blob, self._cipher.content_digest(address, data)))
            if not blobs[blob]:
                blobs[blob] = data
                continue
            # Grows in place: chunks that are joined at the end are in memory twice.
            if isinstance(blobs[blob], bytes):
                blobs[blob] = bytearray(blobs[blob])
            blobs[blob] += data
        return Value(header, [b if isinstance(b, bytes) else memoryview(b) for b in blobs])

    def layout(self, value_id: int) -> tuple[bytes, int, list[tuple[int, bytes]]]:
        """Return the header of a value, checked, how many blobs it has, and its chunks.

        Each chunk is the number of its blob, and the digest by which `chunk_content` finds it.
        """
        header, count = self._checked_header(value_id)
        return header, count, self._addresses(value_id)

    def blob_sizes(self, value_id: int) -> list[int]:
        """Return how many bytes each blob of a value has, without reading any of them."""
        sizes: dict[int, int] = {}
        rows = self._db.execute(
            f"SELECT part, coalesce({SIZE_OF_DELTA}, {STORED_BYTES} - ?) "  # noqa: S608
            "FROM value_chunk JOIN chunk USING (chunk_id) WHERE value_id = ? ORDER BY position",
            (self._cipher.overhead, value_id),
        )
        for blob, size in rows.fetchall():
            sizes[blob] = sizes.get(blob, 0) + size
        return [sizes[blob] for blob in sorted(sizes)]

    def chunk(self, address: bytes) -> bytes | None:
        """Return a chunk, checked; None if it is gone.

        Raises
        ------
        DamagedValueError
            It is not what was stored.
        """
        chunk_id = self._chunks.find(address)
        if chunk_id is None:
            return None
        return self._chunks.checked(chunk_id, address, f"chunk {address.hex()}")

    def chunk_content(self, address: bytes) -> bytes | None:
        """Return the SHA-256 of a chunk, computed from its stored bytes; None if it is gone.

        Raises
        ------
        DamagedValueError
            They are not what was stored.
        """
        data = self.chunk(address)
        return None if data is None else self._cipher.content_digest(address, data)

    def header(self, value_id: int) -> bytes:
        """Load only the header of a value, checked; raise DamagedValueError."""
        return self._checked_header(value_id)[0]

    def copy(self, value_id: int) -> tuple[int, int]:
        """Store a value once more; return its number and its size in bytes.

        Raises
        ------
        DamagedValueError
            It is missing or not what was stored; its blobs are not read.
        """
        header, count = self._checked_header(value_id)
        addresses = self._addresses(value_id)
        (size,) = self._db.execute(
            "SELECT size FROM value WHERE value_id = ?", (value_id,)
        ).fetchone()
        cursor = self._db.execute(
            "INSERT INTO value (header, parts, size, seal) VALUES (?, ?, ?, x'')",
            (self._cipher.encrypt(header), count, size),
        )
        copied = int(cursor.lastrowid or 0)
        self._db.execute(
            "INSERT INTO value_chunk SELECT ?, position, part, chunk_id FROM value_chunk "
            "WHERE value_id = ?",
            (copied, value_id),
        )
        seal = self._checksum(copied, count, size, header, addresses)
        self._db.execute("UPDATE value SET seal = ? WHERE value_id = ?", (seal, copied))
        return copied, int(size)

    def findings(self) -> Iterator[str]:
        """Read and check everything; yield what is wrong, a sentence fragment for each.

        A chunk is read once, however many values have it.
        """
        for (value_id,) in self._db.execute("SELECT value_id FROM value").fetchall():
            try:
                self._checked_header(value_id)
            except DamagedValueError as error:
                yield str(error)
        yield from self._chunks.findings()

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
        digests = self._addresses(value_id)
        if row[3] != self._checksum(value_id, row[1], row[2], header, digests):
            raise DamagedValueError(f"value {value_id} does not have its checksum")
        return header, row[1]

    def _addresses(self, value_id: int) -> list[tuple[int, bytes]]:
        return self._db.execute(
            "SELECT part, digest FROM value_chunk LEFT JOIN chunk USING (chunk_id) "
            "WHERE value_id = ? ORDER BY position",
            (value_id,),
        ).fetchall()

    def _read_chunks(self, value_id: int) -> Iterator[tuple[int, bytes, bytes]]:
        rows = self._db.execute(
            "SELECT part, chunk_id, digest FROM value_chunk JOIN chunk USING (chunk_id) "
            "WHERE value_id = ? ORDER BY position",
            (value_id,),
        )
        for blob, chunk_id, digest in rows.fetchall():
            name = f"a chunk of value {value_id}"
            yield blob, digest, self._chunks.checked(chunk_id, digest, name)

    def _checksum(self, value_id: int, *columns: object) -> bytes:
        return checksum(self._cipher, "value", value_id, *columns)

    def seal(self, value_id: int) -> None:
        """Write the checksum of a value whose rows were copied."""
        parts, size, stored = self._db.execute(
            "SELECT parts, size, header FROM value WHERE value_id = ?", (value_id,)
        ).fetchone()
        header, digests = self._cipher.decrypt(stored), self._addresses(value_id)
        self._db.execute(
            "UPDATE value SET seal = ? WHERE value_id = ?",
            (self._checksum(value_id, parts, size, header, digests), value_id),
        )

    def superseded(self, value_id: int, by: int) -> None:
        """Note that a value is kept beside the one that has taken its place; see `Packing`."""
        Packing(self._db, self._chunks).note(value_id, by)

    def release(self, value_id: int | None) -> None:
        """Mark a value as no longer needed; `collect` removes it later."""
        self._db.execute("UPDATE value SET released = 1 WHERE value_id = ?", (value_id,))

    def collect(self) -> int:
        """Remove one released value and the chunks that only it used.

        Returns
        -------
        int
            Whether there was anything to do: it may take several calls.
        """
        row = self._db.execute("SELECT value_id FROM value WHERE released LIMIT 1").fetchone()
        if row is None:
            return 0
        (value_id,) = row
        chunks = self._chunks.unused(value_id)
        if Packing(self._db, self._chunks).untie(chunks):
            return 1
        self._db.execute("DELETE FROM value WHERE value_id = ?", row)
        self._chunks.remove(chunks)
        return 1
