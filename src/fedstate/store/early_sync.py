"""Writing a large transaction to the disk while it is still being made."""

import contextlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

# Smaller transactions end before a sync would help.
_STEP_BYTES = 8 * 1024 * 1024


class EarlySync:
    """Syncs a growing log from a thread of its own, every few mebibytes.

    SQLite syncs at the commit alone: the disk is idle while values are checksummed and written
    to the log, and everything else while it syncs. What was synced before is not synced again.

    A sync that fails here is no matter: SQLite's own, through a descriptor of its own, hears of
    the same error, and the commit fails. SQLite holds no lock on the log itself, which closing a
    second descriptor would release.

    Parameters
    ----------
    log
        The log of the database.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._pending = 0
        self._pool = ThreadPoolExecutor(1, "early-sync")
        self._under_way: Future[None] | None = None

    def written(self, count: int) -> None:
        """Take note of bytes that went into the log, and maybe begin to sync."""
        self._pending += count
        busy = self._under_way is not None and not self._under_way.done()
        if self._pending >= _STEP_BYTES and not busy:
            self._pending = 0
            self._under_way = self._pool.submit(self._sync)

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown()

    def _sync(self) -> None:
        with contextlib.suppress(OSError):
            descriptor = os.open(self._log, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
