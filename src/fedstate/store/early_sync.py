"""Writing a large file to the disk while it is still being made."""

import contextlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

# Smaller transactions end before a sync would help.
_STEP_BYTES = 8 * 1024 * 1024


class EarlySync:
    """Syncs a growing file from a thread of its own, every few mebibytes.

    SQLite syncs its log at the commit alone, and a file of content is synced when it is whole:
    the disk is idle while values are checksummed and written, and everything else while it syncs.
    What was synced before is not synced again.

    A sync that fails here is no matter: the last one, through a descriptor of its own, hears of
    the same error, and the commit fails. SQLite holds no lock on the log itself, which closing a
    second descriptor would release.

    Parameters
    ----------
    file
        The log of the database, or a file of content.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._pending = 0
        self._pool = ThreadPoolExecutor(1, "early-sync")
        self._under_way: Future[None] | None = None

    def follow(self, file: Path) -> None:
        """Sync another file from now on."""
        self._file = file
        self._pending = 0

    def written(self, count: int) -> None:
        """Take note of bytes that went into the file, and maybe begin to sync."""
        self._pending += count
        busy = self._under_way is not None and not self._under_way.done()
        if self._pending >= _STEP_BYTES and not busy:
            self._pending = 0
            self._under_way = self._pool.submit(_sync, self._file)

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown()


def _sync(file: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
