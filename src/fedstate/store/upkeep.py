"""Keeping a store small, beside those who use it: what has gone is removed, space given back."""

from collections.abc import Iterator

from fedstate.failpoints import reach
from fedstate.logs import logger
from fedstate.store.errors import StoreFullError
from fedstate.store.store_file import StoreFile

# A mebibyte: a commit waits for no more than its move.
_BYTES_AT_ONCE = 1024 * 1024
# At an opening nobody waits, and few transactions are fewer syncs.
_BYTES_AT_AN_OPENING = 64 * 1024 * 1024
_MOVED_AT_ONCE = 64 * 1024 * 1024
# What SQLite's own version of a database says once no more is to be moved.
_MOVED = 1


class UpkeptStore(StoreFile):
    """A store that removes what is no longer needed, and keeps large content out of its rows."""

    def _open(self, key: bytes | None) -> None:
        super()._open(key)
        try:
            self._move_content()
        except StoreFullError as error:
            logger.warning(
                "Content of the node store stays in its database until the next start. %s", error
            )

    def _move_content(self) -> None:
        """Move large chunks out of the rows in which an older fedstate has stored them.

        Each transaction moves some of them: whenever it ends, each chunk is in one of the two
        places, from which it is read all the same.
        """
        with self._translated():
            if self._db.execute("PRAGMA user_version").fetchone()[0] == _MOVED:
                return
            # The last ones first: it is the end of the database that is cut off.
            large = self._chunks.large_rows()[::-1]
        if large:
            logger.info(
                "The node store moves %s MB of content out of its database into files.",
                sum(size for _, size in large) // 1_000_000,
            )
            pending = iter(large)
            while self._move_some(pending):
                reach("content-moved")
            while self._give_back(_BYTES_AT_AN_OPENING):
                pass
            self._checkpoints.empty()
        with self._translated(), self._write_lock:
            self._db.execute(f"PRAGMA user_version = {_MOVED}")

    def _move_some(self, pending: Iterator[tuple[int, int]]) -> int:
        moved = 0
        with self._transaction():
            for chunk_id, size in pending:
                self._chunks.move(chunk_id)
                moved += size
                if moved >= _MOVED_AT_ONCE:
                    break
        return moved

    def maintain(self) -> None:
        """Remove what is no longer needed and move the log into the database.

        Runs beside the steps: short transactions, so that no commit waits long. Only emptying a
        log that has grown large waits for the reads under way, and makes new ones wait.
        """
        self.collect()
        self._checkpoints.work()
        self.look_for_room()

    def collect(self) -> None:
        """Remove values that are no longer needed, in short transactions."""
        while self._with_reserve(self._collect):
            pass

    def look_for_room(self) -> None:
        """Remove content that nobody reads any longer, and take the reserve if there is room."""
        self._sweep()
        with self._write_lock:
            self.room.look()

    def _sweep(self) -> None:
        self._content.sweep(lambda: self._readers.oldest)

    def _collect(self) -> int:
        with self._transaction():
            return self._values.collect()

    def compact(self) -> None:
        """Give the space of removed values back to the file system.

        Piece by piece: no commit waits long, and a disk that is full has room for a piece.
        """
        self.maintain()
        while self._with_reserve(lambda: self._give_back(_BYTES_AT_ONCE)):
            pass
        self._checkpoints.empty()
        self.look_for_room()

    def _give_back(self, count: int) -> bool:
        """Take some unused pages out of the database; return whether there may be more."""
        with self._translated(), self._write_lock:
            self._checkpoints.shorten()
            unused = self._unused_pages()
            # `execute` would run it for a single page.
            self._db.executescript(f"PRAGMA incremental_vacuum({count // self._page_bytes})")
            return 0 < self._unused_pages() < unused

    def _unused_pages(self) -> int:
        return int(self._db.execute("PRAGMA freelist_count").fetchone()[0])
