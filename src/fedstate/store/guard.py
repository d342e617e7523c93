"""The guard of a state directory: one process at a time, and no older copy unnoticed.

The file ``node.mark`` beside the database is locked while a SuperNode uses the store, and it
holds the number of the last commit. A database that is missing, or whose own number is lower,
was removed or replaced behind the node's back: a backup put in place by hand, a snapshot of one
file, a write-ahead log that was not copied along.
"""

import fcntl
import json
import os
from pathlib import Path

from fedstate.store.errors import StoreDamagedError, StoreInUseError

MARK = "node.mark"
_LENGTH = 128


class Guard:
    """The lock and the last commit number of one state directory.

    Parameters
    ----------
    directory : Path
        The state directory; it exists.

    Raises
    ------
    StoreInUseError
        Another process holds the directory.
    StoreDamagedError
        The file does not hold what this class wrote.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / MARK
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise StoreInUseError(
                f"The state directory '{directory}' is in use by another process. "
                "Give each SuperNode a state directory of its own."
            ) from error
        try:
            self.store_id, self.generation = _parse(self.path)
        except StoreDamagedError:
            self.close()
            raise

    def advance(self, store_id: str, generation: int) -> None:
        """Note that the commit `generation` of the store `store_id` is durable."""
        text = json.dumps({"store": store_id, "generation": generation})
        os.pwrite(self._file, text.ljust(_LENGTH - 1).encode() + b"\n", 0)
        os.fsync(self._file)
        self.store_id, self.generation = store_id, generation

    def close(self) -> None:
        """Release the directory; again is without effect."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_mark(directory: Path) -> int:
    """Return the number of the last commit that a directory has seen, 0 without a mark.

    Raises
    ------
    StoreDamagedError
        The file does not hold what `Guard` wrote.
    """
    path = directory / MARK
    return _parse(path)[1] if path.exists() else 0


def _parse(path: Path) -> tuple[str | None, int]:
    written = path.read_bytes()
    if not written:
        return None, 0
    try:
        mark = json.loads(written)
        return str(mark["store"]), int(mark["generation"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamagedError(
            f"The file '{path}' is damaged. Restore the node's state with: "
            f"fedstate state restore BACKUP --state {path.parent} --replace"
        ) from error
