"""A store that is read again and again: each time as it is then, or all the time as it was once.

A store that is open for reading keeps SQLite from emptying the log beside it, so that a notebook
left open overnight would fill the node's disk. A state directory is therefore opened for each
read and closed again, unless somebody holds it for a while. A backup is unpacked once.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fedstate.store.database import damaged
from fedstate.store.errors import DamagedValueError, StoreDamagedError
from fedstate.store.read_only import ReadOnlyStore, read_only


class Source:
    """Where a store is, and how it is read.

    Parameters
    ----------
    place : Path
        A state directory, or the file of a backup.
    key : bytes, optional
        The encryption key.
    """

    def __init__(self, place: Path, key: bytes | None) -> None:
        self.place = place
        self._key = key
        self._stack = ExitStack()
        self._held: ReadOnlyStore | None = None

    @contextmanager
    def reading(self) -> Iterator[ReadOnlyStore]:
        """Read in a block, all of it from one commit.

        Raises
        ------
        StoreError
            There is no store, or it cannot be read.
        StoreDamagedError
            What was read in the block is not what was stored.
        """
        try:
            if self._held is None and self.place.is_file():
                self.hold()
            if self._held is not None:
                yield self._held
                return
            with read_only(self.place, self._key) as store:
                yield store
        except DamagedValueError as error:
            raise self.damaged(str(error)) from error

    def damaged(self, finding: str) -> StoreDamagedError:
        """Return the error for damaged content, with what was found and how to go on."""
        if self.place.is_file():
            return StoreDamagedError(
                f"The backup '{self.place}' is damaged: {finding}. Use another backup."
            )
        return damaged(self.place, finding)

    def hold(self) -> None:
        """Read what is committed now until `release`."""
        if self._held is None:
            self._held = self._stack.enter_context(read_only(self.place, self._key))

    def release(self) -> None:
        """Let go of what was held; again is without effect."""
        self._held = None
        self._stack.close()
