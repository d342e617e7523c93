"""Making former states small: chunks that others have taken the place of become differences.

It is not done when a state is committed, but after it, in short transactions. ``superseded`` has
what is still to be done, and is nothing that anybody relies on: a state of which nothing was made
is stored whole.
"""

import sqlite3
import time
from collections.abc import Iterable

from fedstate.failpoints import reach
from fedstate.store.chunks import Chunks

# Of a mebibyte a difference takes some 3 ms: a commit waits for a few of them.
_SECONDS_AT_ONCE = 0.02
_REBASED_AT_ONCE = 8


class Packing:
    """The chunks of former states; the caller opens and commits the transactions.

    What is a difference from what follows from how they are made: the base of each is, when it
    is made, a whole chunk of another tree, so that nothing is ever put together from itself.
    """

    def __init__(self, connection: sqlite3.Connection, chunks: Chunks) -> None:
        self._db = connection
        self._chunks = chunks
        self._deltas = chunks.deltas

    def note(self, value_id: int, by: int) -> None:
        """Note that the state in the value `by` has taken the place of another one."""
        self._db.execute("INSERT OR REPLACE INTO superseded VALUES (?, ?, 0)", (value_id, by))

    @property
    def has_work(self) -> bool:
        """Whether there is a state that was superseded and not looked at as yet."""
        return self._db.execute("SELECT 1 FROM superseded LIMIT 1").fetchone() is not None

    def work(self) -> None:
        """Store chunks of superseded states as differences, for a short time.

        Raises
        ------
        DamagedValueError
            A chunk is not what was stored.
        """
        end = time.monotonic() + _SECONDS_AT_ONCE
        while time.monotonic() < end:
            row = self._db.execute(
                "SELECT value_id, by_value, position, released FROM superseded "
                "JOIN value USING (value_id) ORDER BY value_id LIMIT 1"
            ).fetchone()
            if row is None:
                return
            value_id, by, position, released = row
            if released:
                # It goes: to make it small first would take room, and time.
                self._db.execute("DELETE FROM superseded WHERE value_id = ?", (value_id,))
            else:
                self._value(value_id, by, position, end)

    def _value(self, value_id: int, by: int, position: int, end: float) -> None:
        old, new = self._places(value_id), self._places(by)
        present = {number for (number,) in self._db.execute("SELECT value_id FROM context")}
        for place, chunk_id in list(old.items())[position:]:
            if time.monotonic() >= end:
                self._db.execute(
                    "UPDATE superseded SET position = ? WHERE value_id = ?", (position, value_id)
                )
                return
            base_id = new.get(place)
            if base_id is not None and base_id != chunk_id:
                self._differ(chunk_id, base_id, present)
            position += 1
        self._db.execute("DELETE FROM superseded WHERE value_id = ?", (value_id,))

    def _places(self, value_id: int) -> dict[tuple[int, int], int]:
        """Return the chunks of a value by the number of their blob and their own in it."""
        places: dict[tuple[int, int], int] = {}
        counts: dict[int, int] = {}
        for part, chunk_id in self._db.execute(
            "SELECT part, chunk_id FROM value_chunk WHERE value_id = ? ORDER BY position",
            (value_id,),
        ):
            counts[part] = counts.get(part, -1) + 1
            places[part, counts[part]] = chunk_id
        return places

    def _differ(self, chunk_id: int, base_id: int, present: set[int]) -> None:
        """Store the whole chunk behind one chunk as what differs from the one behind another."""
        chunk_id, base_id = self._deltas.root(chunk_id), self._deltas.root(base_id)
        if chunk_id == base_id or self._is_of(chunk_id, present):
            return
        wanted = self._read(chunk_id)
        made = _difference(wanted, self._read(base_id))
        if made is not None and self._deltas.fits(chunk_id, len(wanted), made):
            self._chunks.keep_difference(chunk_id, base_id, len(wanted), made)
            reach("delta-made")

    def _is_of(self, chunk_id: int, values: set[int]) -> bool:
        """Whether one of these values has a chunk: what is read at every step stays whole."""
        users = self._db.execute(
            "SELECT value_id FROM value_chunk WHERE chunk_id = ?", (chunk_id,)
        )
        return any(value_id in values for (value_id,) in users.fetchall())

    def untie(self, chunk_ids: Iterable[int]) -> bool:
        """Put together anew what is put together from chunks that are to go.

        Returns
        -------
        bool
            Whether there may be more: none of the chunks may go before there is none.
        """
        for chunk_id in chunk_ids:
            if dependants := self._deltas.direct(chunk_id):
                self._rebase(dependants[:_REBASED_AT_ONCE], self._deltas.base(chunk_id))
                return True
        return False

    def _rebase(self, chunk_ids: list[int], base_id: int | None) -> None:
        for chunk_id in chunk_ids:
            wanted = self._read(chunk_id)
            made = None if base_id is None else _difference(wanted, self._read(base_id))
            if base_id is not None and made and self._deltas.fits(chunk_id, len(wanted), made):
                self._chunks.keep_difference(chunk_id, base_id, len(wanted), made)
            else:
                self._chunks.keep_whole(chunk_id, wanted)
                # The others are likely to be like it.
                base_id = chunk_id if base_id is None else base_id
            reach("delta-rebased")

    def _read(self, chunk_id: int) -> bytes:
        digest = self._chunks.digest(chunk_id)
        return self._chunks.checked(chunk_id, digest, f"chunk {digest.hex()}")


def _difference(wanted: bytes, base: bytes) -> bytes | None:
    # NumPy comes with it, which most commands on a store do without.
    from fedstate.store.differences import difference

    return difference(wanted, base)
