"""Writing files of content, and removing what no row names any longer."""

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fedstate.failpoints import reach
from fedstate.logs import logger
from fedstate.store.cipher import Buffer
from fedstate.store.content import (
    PAGE_BYTES,
    ContentDirectory,
    first_page,
    removing,
    whole_pages,
)
from fedstate.store.database import sync_directory
from fedstate.store.early_sync import EarlySync
from fedstate.store.errors import StoreError
from fedstate.store.room import NO_ROOM, full

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)


@dataclass(frozen=True)
class Gone:
    """What no row names any longer: a whole file, or a part of one.

    Attributes
    ----------
    file_id : int
        The file.
    start, length : int
        The part, in whole pages; a length of 0 is the whole file.
    """

    file_id: int
    start: int = 0
    length: int = 0


class ContentWriter:
    """Writes the content of one transaction after the other, and removes what has gone.

    The thread that has the transaction uses it; `sweep` may be called by any thread.

    Parameters
    ----------
    directory : Path
        The state directory.
    """

    def __init__(self, directory: Path) -> None:
        self.content = ContentDirectory(directory)
        self._directory = directory
        self._early_sync = EarlySync(self.content.path)
        self._file = -1
        self._file_id = 0
        self._size = 0
        # Of the transaction under way, and of commits that failed after their last write.
        self._gone: list[Gone] = []
        self._doubtful: list[Gone] = []
        # What has gone with a commit, and the moment of that commit among the reads.
        self._waiting: list[tuple[int, Gone]] = []
        self._lock = threading.Lock()

    def append(self, stored: Buffer) -> tuple[int, int]:
        """Write a chunk into the file of this transaction; return the file and where it begins.

        Raises
        ------
        StoreFullError
            There is no room.
        StoreError
            The disk failed.
        """
        with self._translated():
            if self._file < 0:
                self._begin()
            start = self._size
            _write(self._file, stored, start)
            self._size = start + whole_pages(len(stored))
        self._early_sync.written(len(stored))
        return self._file_id, start

    def sync(self) -> tuple[int, int] | None:
        """Make the file of this transaction durable; return its number and size, if there is one.

        Raises
        ------
        StoreFullError
            There is no room.
        StoreError
            The disk failed.
        """
        if self._file < 0:
            return None
        reach("content-written")
        with self._translated():
            # The last chunk may end within its page.
            os.ftruncate(self._file, self._size)
            os.fsync(self._file)
            sync_directory(self.content.path)
        reach("content-synced")
        return self._file_id, self._size

    def remove(self, gone: Iterable[Gone]) -> None:
        """Note what goes with this transaction."""
        self._gone += gone

    def committed(self, moment: int) -> None:
        """Take note that the transaction is durable.

        Parameters
        ----------
        moment : int
            The number of the last read that has begun.
        """
        if self._file >= 0:
            reach("content-committed")
        self._close()
        gone, self._gone = [*self._gone, *self._doubtful], []
        self._doubtful = []
        self.wait(gone, moment)

    def discard(self, *, doubtful: bool = False) -> None:
        """Remove what the transaction has written, which is not durable.

        Parameters
        ----------
        doubtful : bool
            Whether its commit may be on the disk all the same, for whoever opens the store after
            this process has died; the next commit rules that out.
        """
        self._gone = []
        if self._file < 0:
            return
        file_id = self._file_id
        self._close()
        if doubtful:
            self._doubtful.append(Gone(file_id))
            return
        with contextlib.suppress(OSError):
            self.content.file(file_id).unlink(missing_ok=True)

    def wait(self, gone: Iterable[Gone], moment: int = 0) -> None:
        """Remove something as soon as nobody reads what was committed at a moment."""
        with self._lock:
            self._waiting += [(moment, each) for each in gone]

    def sweep(self, oldest: Callable[[], int | None] = lambda: None) -> None:
        """Remove what has gone, unless somebody may still read it.

        Parameters
        ----------
        oldest : callable
            Returns the number of the oldest read that is under way, or None.
        """
        with self._lock:
            waiting = list(self._waiting)
        if not waiting:
            return
        with removing(self._directory) as alone:
            if not alone:
                return
            # After the list was made: who begins to read later sees nothing of what is in it.
            first = oldest()
            due = [each for each in waiting if first is None or each[0] < first]
            for _, gone in due:
                reach("content-gone")
                self._remove(gone)
        # There may be as many as chunks became differences while a backup was read.
        done = set(due)
        with self._lock:
            self._waiting = [each for each in self._waiting if each not in done]

    def close(self) -> None:
        """Wait for what is under way."""
        self._early_sync.close()
        self._close()

    def _begin(self) -> None:
        if not self.content.path.exists():
            self.content.path.mkdir(mode=0o700)
            sync_directory(self._directory)
        self._file_id = int.from_bytes(os.urandom(8)) >> 1
        path = self.content.file(self._file_id)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._early_sync.follow(path)
        _write(self._file, first_page(self._file_id), 0)
        self._size = PAGE_BYTES

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _remove(self, gone: Gone) -> None:
        path = self.content.file(gone.file_id)
        try:
            if gone.length:
                punch(path, gone.start, gone.length)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            # The next start tries again.
            logger.warning("The file '%s' could not be removed: %s", path, error)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in NO_ROOM:
                raise full(self._directory) from error
            raise StoreError(
                f"The file '{self.content.file(self._file_id)}' of the node store could not be "
                f"written ({error.strerror}). Look at the disk, then start the SuperNode again."
            ) from error


def punch(path: Path, start: int, length: int) -> None:
    """Give a part of a file back to the file system, where that knows holes.

    Elsewhere its space comes back with the file.
    """
    if _fallocate is None:
        return
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _fallocate(file, _KEEP_SIZE | _PUNCH_HOLE, ctypes.c_int64(start), ctypes.c_int64(length))
    finally:
        os.close(file)


def _write(file: int, data: Buffer, start: int) -> None:
    view = memoryview(data).cast("B")
    while view:
        count = os.pwrite(file, view, start)
        view, start = view[count:], start + count
