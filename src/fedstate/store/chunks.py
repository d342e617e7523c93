"""The chunks of values: each stored once, as a row or, if it is large, in a file of content."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator

from fedstate.store.cipher import Buffer, Cipher
from fedstate.store.content import (
    FILE_BYTES,
    VALUE_BYTES,
    Content,
    NoContent,
    the_file,
    whole_pages,
)
from fedstate.store.content_writer import ContentWriter, Gone
from fedstate.store.errors import DamagedValueError

# The bytes of a chunk as it is stored.
STORED_BYTES = (
    "(length(chunk.data) + coalesce((SELECT chunk_place.length FROM chunk_place "
    "WHERE chunk_place.chunk_id = chunk.chunk_id), 0))"
)


class Chunks:
    """The chunks in one database; the caller opens and commits the transactions.

    Parameters
    ----------
    connection
        The connection to the database.
    cipher
        How chunks are addressed and written.
    content
        Where the large ones are.
    writer
        Where large ones are written to; without it, all are rows.
    written
        Is told of the bytes of each chunk that became a row.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        cipher: Cipher,
        content: Content | None = None,
        writer: ContentWriter | None = None,
        written: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._db = connection
        self._cipher = cipher
        self._content = content or NoContent()
        self._writer = writer
        self._written = written

    def find(self, digest: bytes) -> int | None:
        """Return the number of the chunk with a digest, or None."""
        row = self._db.execute(
            "SELECT chunk_id FROM chunk WHERE digest = ?", (digest,)
        ).fetchone()
        return int(row[0]) if row else None

    def write(
        self, digest: bytes, plain: memoryview, value_bytes: int, chunk_id: int | None = None
    ) -> int:
        """Store a chunk that is not there yet, and return its number.

        Parameters
        ----------
        digest : bytes
            The digest by which it is addressed.
        plain : memoryview
            Its bytes.
        value_bytes : int
            The size of the value that it is of.
        chunk_id : int, optional
            The number that it is to have.
        """
        # Encrypted here and not before the transaction: that would be a second copy of the value
        # in memory, and work for chunks that the store has.
        stored = self._cipher.encrypt(plain)
        large = value_bytes >= VALUE_BYTES and len(stored) >= FILE_BYTES
        large = large and self._writer is not None
        cursor = self._db.execute(
            "INSERT INTO chunk (chunk_id, digest, data) VALUES (?, ?, ?)",
            (chunk_id, digest, b"" if large else stored),
        )
        number = int(cursor.lastrowid or 0)
        if large:
            self._in_file(number, stored)
        else:
            self._written(len(stored))
        return number

    def large_rows(self) -> list[tuple[int, int]]:
        """Return number and size of each row whose chunk would be in a file if it were new."""
        return self._db.execute(
            "SELECT chunk_id, length(data) FROM chunk WHERE length(data) >= ? AND EXISTS ("
            "SELECT 1 FROM value_chunk JOIN value USING (value_id) "
            "WHERE value_chunk.chunk_id = chunk.chunk_id AND value.size >= ?) "
            "ORDER BY chunk_id",
            (FILE_BYTES, VALUE_BYTES),
        ).fetchall()

    def move(self, chunk_id: int) -> None:
        """Move a chunk from its row into the file of this transaction."""
        (stored,) = self._db.execute(
            "SELECT data FROM chunk WHERE chunk_id = ?", (chunk_id,)
        ).fetchone()
        self._in_file(chunk_id, stored)
        self._db.execute("UPDATE chunk SET data = x'' WHERE chunk_id = ?", (chunk_id,))

    def _in_file(self, chunk_id: int, stored: Buffer) -> None:
        assert self._writer is not None, "who moves chunks has a writer"  # noqa: S101
        file_id, start = self._writer.append(stored)
        self._db.execute(
            "INSERT INTO chunk_place VALUES (?, ?, ?, ?)",
            (chunk_id, file_id, start, len(stored)),
        )

    def finish(self) -> None:
        """Make the file durable that this transaction has written, and note it."""
        if self._writer is not None and (file := self._writer.sync()) is not None:
            self._db.execute("INSERT INTO content_file VALUES (?, ?)", file)

    def read(self, chunk_id: int) -> bytes:
        """Return the bytes of a chunk as they were given to `write`, though not yet checked.

        Raises
        ------
        DamagedValueError
            They cannot be read.
        """
        row = self._db.execute(
            "SELECT data, file_id, start, length FROM chunk LEFT JOIN chunk_place "
            "USING (chunk_id) WHERE chunk_id = ?",
            (chunk_id,),
        ).fetchone()
        if row is None:
            raise DamagedValueError("a chunk is missing")
        data, file_id, *place = row
        stored = data if file_id is None else self._content.read(file_id, *place)
        try:
            return self._cipher.decrypt(stored)
        except ValueError as error:
            raise DamagedValueError("a chunk does not have its checksum") from error

    def checked(self, chunk_id: int, digest: bytes, name: str) -> bytes:
        """Return the bytes of a chunk, checked against its digest.

        Raises
        ------
        DamagedValueError
            They are not what was stored; the text says it of `name`.
        """
        try:
            data = self.read(chunk_id)
        except DamagedValueError as error:
            raise DamagedValueError(str(error).replace("a chunk ", f"{name} ", 1)) from error
        if self._cipher.digest(data) != digest:
            raise DamagedValueError(f"{name} does not have its checksum")
        return data

    def remove(self, chunk_ids: Iterable[int]) -> None:
        """Remove those of these chunks that no value has any longer."""
        touched: dict[int, list[Gone]] = {}
        for chunk_id in chunk_ids:
            names = (chunk_id,)
            if self._db.execute("SELECT 1 FROM value_chunk WHERE chunk_id = ?", names).fetchone():
                continue
            place = self._db.execute(
                "SELECT file_id, start, length FROM chunk_place WHERE chunk_id = ?", names
            ).fetchone()
            if place is not None:
                file_id, start, length = place
                gone = Gone(file_id, start, whole_pages(length))
                touched.setdefault(file_id, []).append(gone)
                self._db.execute("DELETE FROM chunk_place WHERE chunk_id = ?", names)
            self._db.execute("DELETE FROM chunk WHERE chunk_id = ?", names)
        for file_id, parts in touched.items():
            left = self._db.execute(
                "SELECT 1 FROM chunk_place WHERE file_id = ?", (file_id,)
            ).fetchone()
            if left is None:
                self._db.execute("DELETE FROM content_file WHERE file_id = ?", (file_id,))
            if self._writer is not None:
                self._writer.remove([Gone(file_id)] if left is None else parts)

    def findings(self) -> Iterator[str]:
        """Read and check every chunk; yield what is wrong, a sentence fragment for each.

        A file is named once, and not for each chunk that was in it.
        """
        damaged = set()
        files = self._db.execute("SELECT file_id, size FROM content_file").fetchall()
        for file_id, size in files:
            if problem := self._content.problem(file_id, size):
                damaged.add(file_id)
                yield problem
        last = 0
        # In pieces: an open query keeps its snapshot.
        while rows := self._db.execute(
            "SELECT chunk_id, digest, file_id FROM chunk LEFT JOIN chunk_place USING (chunk_id) "
            "WHERE chunk_id > ? ORDER BY chunk_id LIMIT 1000",
            (last,),
        ).fetchall():
            for chunk_id, digest, file_id in rows:
                last = chunk_id
                if file_id in damaged:
                    continue
                try:
                    self.checked(chunk_id, digest, "a chunk")
                except DamagedValueError:
                    where = "" if file_id is None else f" (in {the_file(file_id)})"
                    for user in self._users_of(chunk_id):
                        yield f"{user} does not have its checksum{where}"

    def _users_of(self, chunk_id: int) -> Iterator[str]:
        for (value_id,) in self._db.execute(
            "SELECT DISTINCT value_id FROM value_chunk WHERE chunk_id = ?", (chunk_id,)
        ).fetchall():
            yield f"a chunk of value {value_id}"
