"""The chunks of values: each stored once, whole or as what differs from another one."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator

from fedstate.store.cipher import Buffer, Cipher
from fedstate.store.deltas import Deltas
from fedstate.store.errors import DamagedValueError

_DELTA = "(SELECT delta.{} FROM delta WHERE delta.chunk_id = chunk.chunk_id)"
# The bytes that a chunk takes.
STORED_BYTES = f"(length(chunk.data) + coalesce({_DELTA.format('stored')}, 0))"
# The bytes of a chunk that is whole; NULL of others, whose bytes are `SIZE_OF_DELTA`.
SIZE_OF_DELTA = _DELTA.format("size")


class Chunks:
    """The chunks in one database; the caller opens and commits the transactions.

    Parameters
    ----------
    connection
        The connection to the database.
    cipher
        How chunks are addressed and written.
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
        written: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._db = connection
        self._cipher = cipher
        self._written = written
        self.deltas = Deltas(connection, cipher)

    def find(self, digest: bytes) -> int | None:
        """Return the number of the chunk with a digest, or None."""
        row = self._db.execute(
            "SELECT chunk_id FROM chunk WHERE digest = ?", (digest,)
        ).fetchone()
        return int(row[0]) if row else None

    def write(self, digest: bytes, plain: Buffer) -> int:
        """Store a chunk that is not there yet, and return its number.

        Parameters
        ----------
        digest : bytes
            The digest by which it is addressed.
        plain : bytes or memoryview
            Its bytes.
        """
        # Encrypted here and not before the transaction: that would be a second copy of the value
        # in memory, and work for chunks that the store has. It takes a tenth of the insertion.
        stored = self._cipher.encrypt(plain)
        cursor = self._db.execute(
            "INSERT INTO chunk (digest, data) VALUES (?, ?)", (digest, stored)
        )
        self._written(len(stored))
        return int(cursor.lastrowid or 0)

    def read(self, chunk_id: int) -> bytes:
        """Return the bytes of a chunk as they were given to `write`, though not yet checked.

        Raises
        ------
        DamagedValueError
            They cannot be read.
        """
        chain = self.deltas.chain(chunk_id)
        whole = self._read_whole(chain.root)
        return chain.apply(whole)

    def _read_whole(self, chunk_id: int) -> bytes:
        row = self._db.execute(
            "SELECT data FROM chunk WHERE chunk_id = ?", (chunk_id,)
        ).fetchone()
        if row is None:
            raise DamagedValueError("a chunk is missing")
        try:
            return self._cipher.decrypt(row[0])
        except ValueError as error:
            raise DamagedValueError("a chunk does not have its checksum") from error

    def keep_whole(self, chunk_id: int, plain: bytes) -> None:
        """Store a chunk that was a difference whole."""
        self.deltas.remove(chunk_id)
        self._db.execute(
            "UPDATE chunk SET data = ? WHERE chunk_id = ?",
            (self._cipher.encrypt(plain), chunk_id),
        )

    def keep_difference(self, chunk_id: int, base_id: int, size: int, difference: bytes) -> None:
        """Store a chunk as what differs from another one; see `Deltas`."""
        was_whole = self.deltas.base(chunk_id) is None
        self.deltas.put(chunk_id, base_id, size, difference)
        if not was_whole:
            return
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
        for chunk_id in chunk_ids:
            self.deltas.remove(chunk_id)
            self._db.execute("DELETE FROM chunk WHERE chunk_id = ?", (chunk_id,))

    def findings(self) -> Iterator[str]:
        """Check every chunk; yield what is wrong, a sentence fragment for each.

        Of a difference its own checksum is looked at. Whether what it yields has its digest is
        known when it was stored, and is looked at whenever it is read: to put all of them
        together would take as long as if they were whole.
        """
        last = 0
        # In pieces: an open query keeps its snapshot.
        while rows := self._db.execute(
            "SELECT chunk_id, digest FROM chunk WHERE chunk_id > ? AND NOT EXISTS "
            "(SELECT 1 FROM delta WHERE delta.chunk_id = chunk.chunk_id) "
            "ORDER BY chunk_id LIMIT 1000",
            (last,),
        ).fetchall():
            for chunk_id, digest in rows:
                last = chunk_id
                try:
                    self.checked(chunk_id, digest, "a chunk")
                except DamagedValueError:
                    yield from self._of_users(chunk_id)
        for chunk_id in self.deltas.damaged():
            yield from self._of_users(chunk_id)

    def _of_users(self, chunk_id: int) -> Iterator[str]:
        users = {
            value_id
            for built in self.deltas.built_on(chunk_id)
            for (value_id,) in self._db.execute(
                "SELECT value_id FROM value_chunk WHERE chunk_id = ?", (built,)
            ).fetchall()
        }
        for value_id in sorted(users):
            yield f"a chunk of value {value_id} does not have its checksum"
