"""The chunks of values: each stored once, whole or as what differs from another one.

A whole one is a row or, if it is large, in a file of content.
"""

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
from fedstate.store.deltas import Deltas
from fedstate.store.errors import DamagedValueError

_PLACE = (
    "(SELECT chunk_place.length FROM chunk_place WHERE chunk_place.chunk_id = chunk.chunk_id)"
)
_DELTA = "(SELECT delta.{} FROM delta WHERE delta.chunk_id = chunk.chunk_id)"
# The bytes that a chunk takes.
STORED_BYTES = (
    f"(length(chunk.data) + coalesce({_PLACE}, 0) + coalesce({_DELTA.format('stored')}, 0))"
)
# The bytes of a chunk that is a difference; NULL of others.
SIZE_OF_DELTA = _DELTA.format("size")


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

    Attributes
    ----------
    deltas : Deltas
        The differences as which some of them are stored.
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
        self.deltas = Deltas(connection, cipher)

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
        large = self._is_large(stored, value_bytes)
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

    def _is_large(self, stored: Buffer, value_bytes: int) -> bool:
        large = value_bytes >= VALUE_BYTES and len(stored) >= FILE_BYTES
        return large and self._writer is not None

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
        chain = self.deltas.chain(chunk_id)
        return chain.apply(self._read_whole(chain.root))

    def _read_whole(self, chunk_id: int) -> bytes:
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

    def keep_whole(self, chunk_id: int, plain: bytes) -> None:
        """Store a chunk that was a difference whole."""
        self.deltas.remove(chunk_id)
        (value_bytes,) = self._db.execute(
            "SELECT coalesce(max(size), 0) FROM value_chunk JOIN value USING (value_id) "
            "WHERE chunk_id = ?",
            (chunk_id,),
        ).fetchone()
        stored = self._cipher.encrypt(plain)
        if self._is_large(stored, value_bytes):
            self._in_file(chunk_id, stored)
        else:
            self._db.execute("UPDATE chunk SET data = ? WHERE chunk_id = ?", (stored, chunk_id))

    def keep_difference(self, chunk_id: int, base_id: int, size: int, difference: bytes) -> None:
        """Store a chunk as what differs from another one; see `Deltas`."""
        was_whole = self.deltas.base(chunk_id) is None
        self.deltas.put(chunk_id, base_id, size, difference)
        if not was_whole:
            return
        self._give_back([chunk_id])
        # Not changed in its place: SQLite would leave its page nearly empty.
        self._db.execute("PRAGMA defer_foreign_keys = ON")
        digest = self.digest(chunk_id)
        self._db.execute("DELETE FROM chunk WHERE chunk_id = ?", (chunk_id,))
        self._db.execute("INSERT INTO chunk VALUES (?, ?, x'')", (chunk_id, digest))

    def digest(self, chunk_id: int) -> bytes:
        """Return the digest by which a chunk is addressed."""
        (digest,) = self._db.execute(
            "SELECT digest FROM chunk WHERE chunk_id = ?", (chunk_id,)
        ).fetchone()
        return bytes(digest)

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

    def everything(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number and the bytes of each chunk, each put together once, not checked."""
        whole = self._db.execute(
            "SELECT chunk_id FROM chunk WHERE NOT EXISTS "
            "(SELECT 1 FROM delta WHERE delta.chunk_id = chunk.chunk_id)"
        )
        for (root,) in whole:
            waiting = [(root, self._read_whole(root))]
            while waiting:
                chunk_id, content = waiting.pop()
                yield chunk_id, content
                waiting.extend(
                    (built, self.deltas.link(built).apply(content))
                    for built in self.deltas.direct(chunk_id)
                )

    def unused(self, value_id: int) -> list[int]:
        """Return the chunks that only this value has."""
        rows = self._db.execute(
            "SELECT DISTINCT chunk_id FROM value_chunk AS used WHERE value_id = ?1 "
            "AND NOT EXISTS (SELECT 1 FROM value_chunk WHERE chunk_id = used.chunk_id "
            "AND value_id <> ?1)",
            (value_id,),
        )
        return [number for (number,) in rows.fetchall()]

    def remove(self, chunk_ids: Iterable[int]) -> None:
        """Remove chunks that no value has any longer, and that no difference is from."""
        gone = list(chunk_ids)
        self._give_back(gone)
        for chunk_id in gone:
            self.deltas.remove(chunk_id)
            self._db.execute("DELETE FROM chunk WHERE chunk_id = ?", (chunk_id,))

    def _give_back(self, chunk_ids: Iterable[int]) -> None:
        """Give back what these chunks take in files, and each file of which nothing is left."""
        touched: dict[int, list[Gone]] = {}
        for chunk_id in chunk_ids:
            place = self._db.execute(
                "DELETE FROM chunk_place WHERE chunk_id = ? RETURNING file_id, start, length",
                (chunk_id,),
            ).fetchall()
            for file_id, start, length in place:
                gone = Gone(file_id, start, whole_pages(length))
                touched.setdefault(file_id, []).append(gone)
        for file_id, parts in touched.items():
            left = self._db.execute(
                "SELECT 1 FROM chunk_place WHERE file_id = ?", (file_id,)
            ).fetchone()
            if left is None:
                self._db.execute("DELETE FROM content_file WHERE file_id = ?", (file_id,))
            if self._writer is not None:
                self._writer.remove([Gone(file_id)] if left is None else parts)

    def findings(self) -> Iterator[str]:
        """Check every chunk; yield what is wrong, a sentence fragment for each.

        A file is named once, and not for each chunk that was in it. Of a difference its own
        checksum is looked at. Whether what it yields has its digest is known when it was stored,
        and is looked at whenever it is read: to put all of them together would take as long as
        if they were whole. A value is named once, however many of its chunks are damaged.
        """
        said: set[str] = set()
        for each in self._findings():
            if each not in said:
                said.add(each)
                yield each

    def _findings(self) -> Iterator[str]:
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
            "WHERE chunk_id > ? AND NOT EXISTS "
            "(SELECT 1 FROM delta WHERE delta.chunk_id = chunk.chunk_id) "
            "ORDER BY chunk_id LIMIT 1000",
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
        for chunk_id in self.deltas.damaged():
            for user in self._users_of(chunk_id):
                yield f"{user} does not have its checksum"

    def _users_of(self, chunk_id: int) -> Iterator[str]:
        users = {
            value_id
            for built in self.deltas.built_on(chunk_id)
            for (value_id,) in self._db.execute(
                "SELECT value_id FROM value_chunk WHERE chunk_id = ?", (built,)
            ).fetchall()
        }
        for value_id in sorted(users):
            yield f"a chunk of value {value_id}"
