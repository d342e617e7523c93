"""Chunks that are stored as what differs from another one, their base.

A base may be a difference itself, so that chunks form trees, with a whole chunk as the root of
each. How far a chunk may be from its root is bounded by what it takes to put it together.
"""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from fedstate.store.cipher import Cipher
from fedstate.store.errors import DamagedValueError

# What it takes to find and apply a difference, beside its bytes.
_COST_OF_ONE = 8192
# What it may take to put a chunk together, in its own bytes: a mebibyte from 150 differences of
# one word of a hundred each takes 5 ms.
_COST_LIMIT = 3
_ASKED_AT_ONCE = 500
# No chain is longer; a circle in a damaged database would be.
_LONGEST = 100_000

_CHAIN = f"""
WITH RECURSIVE chain (chunk_id, base_id, place) AS (
    SELECT chunk_id, base_id, 1 FROM delta WHERE chunk_id = ?
    UNION ALL
    SELECT delta.chunk_id, delta.base_id, place + 1
    FROM chain JOIN delta ON delta.chunk_id = chain.base_id WHERE place < {_LONGEST})
SELECT chunk_id, base_id FROM chain ORDER BY place
"""  # noqa: S608

_PIECES = "SELECT chunk_id, data FROM delta_piece WHERE chunk_id IN"

_BUILT_ON = """
WITH RECURSIVE built (chunk_id) AS (
    VALUES (?) UNION
    SELECT delta.chunk_id FROM built JOIN delta ON delta.base_id = built.chunk_id)
SELECT chunk_id FROM built
"""

_SEALED = """
SELECT delta.chunk_id, delta.size, stored, reach, delta.seal, chunk.digest, base.digest
FROM delta JOIN chunk USING (chunk_id) LEFT JOIN chunk AS base ON base.chunk_id = base_id
ORDER BY delta.chunk_id
"""


@dataclass(frozen=True)
class Chain:
    """How a chunk is put together: another one, and the differences to apply to it in turn."""

    root: int
    differences: list[bytes]

    def apply(self, whole: bytes) -> bytes:
        """Return the chunk, given the bytes of the other one; they are not checked.

        Raises
        ------
        DamagedValueError
            A difference is none of what it is applied to.
        """
        if not self.differences:
            return whole
        # NumPy comes with it, which most commands on a store do without.
        from fedstate.store.differences import DifferenceError, apply

        content = bytearray(whole)
        try:
            apply(self.differences, content)
        except DifferenceError as error:
            raise DamagedValueError("a chunk does not have its checksum") from error
        return bytes(content)


class Deltas:
    """The differences in one database; the caller opens and commits the transactions."""

    def __init__(self, connection: sqlite3.Connection, cipher: Cipher) -> None:
        self._db = connection
        self._cipher = cipher

    def chain(self, chunk_id: int) -> Chain:
        """Return how a chunk is put together; a whole one is its own root.

        Raises
        ------
        DamagedValueError
            A difference is not what was stored.
        """
        links = self._db.execute(_CHAIN, (chunk_id,)).fetchall()
        if len(links) == _LONGEST:
            raise DamagedValueError("a chunk does not have its base")
        return self._chain(links[-1][1] if links else chunk_id, [link for link, _ in links])

    def link(self, chunk_id: int) -> Chain:
        """Return how a chunk that is not whole is put together from its base.

        Raises
        ------
        DamagedValueError
            The difference is not what was stored.
        """
        base_id = self.base(chunk_id)
        return self._chain(base_id or 0, [chunk_id])

    def _chain(self, root: int, links: list[int]) -> Chain:
        stored: dict[int, list[bytes]] = {link: [] for link in reversed(links)}
        # Many at once: to ask for each takes longer than to read it.
        for start in range(0, len(links), _ASKED_AT_ONCE):
            some = links[start : start + _ASKED_AT_ONCE]
            query = f"{_PIECES} ({', '.join('?' * len(some))}) ORDER BY chunk_id, piece_id"
            for link, data in self._db.execute(query, some):
                stored[link].append(data)
        try:
            differences = [self._cipher.decrypt(b"".join(each)) for each in stored.values()]
        except ValueError as error:
            raise DamagedValueError("a chunk does not have its checksum") from error
        return Chain(root, differences)

    def root(self, chunk_id: int) -> int:
        """Return the whole chunk that a chunk is put together from; itself, if it is whole."""
        links = self._db.execute(_CHAIN, (chunk_id,)).fetchall()
        return int(links[-1][1]) if links else chunk_id

    def base(self, chunk_id: int) -> int | None:
        """Return the chunk that a chunk differs from; None if it is whole."""
        row = self._db.execute(
            "SELECT base_id FROM delta WHERE chunk_id = ?", (chunk_id,)
        ).fetchone()
        return int(row[0]) if row else None

    def direct(self, chunk_id: int) -> list[int]:
        """Return the chunks that are stored as differences from a chunk, the farthest first."""
        rows = self._db.execute(
            "SELECT chunk_id FROM delta WHERE base_id = ? ORDER BY reach DESC, chunk_id",
            (chunk_id,),
        )
        return [number for (number,) in rows.fetchall()]

    def built_on(self, chunk_id: int) -> list[int]:
        """Return a chunk, and all chunks that cannot be put together without it."""
        return [number for (number,) in self._db.execute(_BUILT_ON, (chunk_id,)).fetchall()]

    def fits(self, chunk_id: int, size: int, difference: bytes) -> bool:
        """Return whether a chunk is to be stored as a difference from a whole chunk or another.

        Parameters
        ----------
        chunk_id : int
            The chunk, which is as far from its new base as from its old one, or whole.
        size : int
            Its bytes.
        difference : bytes
            The difference.
        """
        # Reading both would take as long as reading a whole one.
        small = 4 * len(difference) <= 3 * size
        return small and self._reach(chunk_id, len(difference)) <= _COST_LIMIT * size

    def put(self, chunk_id: int, base_id: int, size: int, difference: bytes) -> None:
        """Store a chunk as a difference, in place of the one that it had."""
        self.remove(chunk_id)
        stored = bytes(self._cipher.encrypt(difference))
        reach = self._reach(chunk_id, len(difference))
        self._insert(chunk_id, base_id, size, reach, stored)

    def _insert(self, chunk_id: int, base_id: int, size: int, reach: int, stored: bytes) -> None:
        digests = []
        for number in (chunk_id, base_id):
            row = self._db.execute("SELECT digest FROM chunk WHERE chunk_id = ?", (number,))
            digests.append(row.fetchone()[0])
        columns = (size, len(stored), reach)
        seal = self._seal(digests[0], digests[1], columns, stored)
        self._db.execute(
            "INSERT INTO delta (chunk_id, base_id, size, stored, reach, seal) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (chunk_id, base_id, *columns, seal),
        )
        # In one piece: those of 8000 bytes that there were left a fifth of their pages empty.
        self._db.execute(
            "INSERT INTO delta_piece (chunk_id, data) VALUES (?, ?)", (chunk_id, stored)
        )

    def remove(self, chunk_id: int) -> None:
        """Forget the difference of a chunk, if it has one."""
        self._db.execute("DELETE FROM delta_piece WHERE chunk_id = ?", (chunk_id,))
        self._db.execute("DELETE FROM delta WHERE chunk_id = ?", (chunk_id,))

    def damaged(self) -> Iterator[int]:
        """Check every difference; yield the chunks whose difference is not what was stored."""
        bases = dict(self._db.execute("SELECT chunk_id, base_id FROM delta").fetchall())
        good: set[int] = set()
        rows = self._db.execute(_SEALED).fetchall()
        for number, *columns, seal, digest, base_digest in rows:
            known = seal == self._seal(digest, base_digest, tuple(columns), self._stored(number))
            if not known or _circles(number, bases, good):
                yield number

    def copy(self, source: "Deltas") -> None:
        """Store the differences of another database, which has the same chunks and is empty."""
        for number, base, size, reach, plain in source.everything():
            self._insert(number, base, size, reach, bytes(self._cipher.encrypt(plain)))

    def everything(self) -> Iterator[tuple[int, int, int, int, bytes]]:
        """Yield each chunk, its base, its size, what it takes, and the difference."""
        rows = self._db.execute("SELECT chunk_id, base_id, size, reach FROM delta").fetchall()
        for number, *columns in rows:
            yield number, *columns, self._cipher.decrypt(self._stored(number))

    def _stored(self, chunk_id: int) -> bytes:
        rows = self._db.execute(
            "SELECT data FROM delta_piece WHERE chunk_id = ? ORDER BY piece_id", (chunk_id,)
        ).fetchall()
        return b"".join(data for (data,) in rows) if len(rows) != 1 else bytes(rows[0][0])

    def _reach(self, chunk_id: int, length: int) -> int:
        """Return what it takes to get from a base to the farthest chunk behind a difference."""
        (behind,) = self._db.execute(
            "SELECT coalesce(max(reach), 0) FROM delta WHERE base_id = ?", (chunk_id,)
        ).fetchone()
        return int(behind) + length + _COST_OF_ONE

    def _seal(
        self, digest: bytes, base: bytes | None, columns: tuple[int, ...], stored: bytes
    ) -> bytes:
        texts = [
            each.hex() if each else "" for each in (digest, base, self._cipher.digest(stored))
        ]
        return self._cipher.digest(json.dumps(["delta", *texts, *columns]).encode())


def _circles(chunk_id: int, bases: dict[int, int], good: set[int]) -> bool:
    """Return whether a chunk's bases never end; note those that do in `good`."""
    path: list[int] = []
    seen: set[int] = set()
    at = chunk_id
    while at in bases and at not in good:
        if at in seen:
            return True
        seen.add(at)
        path.append(at)
        at = bases[at]
    good.update(path)
    return False
