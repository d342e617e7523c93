"""Room on the disk: what a node store keeps free for the ways out of a full disk.

Two things are allocated before they are needed. The *reserve*, a file beside the database, is
given up before states are freed and at a start, which then have room to write what they must.
And the database has room for what its log holds, before that is committed: moving the log into
the database, which makes the log's own space free, never needs any.
"""

import errno
import os
from pathlib import Path

from fedstate.logs import labelled, logger
from fedstate.sizes import human_size
from fedstate.store.errors import StoreFullError

RESERVE = "node.reserve"
RESERVE_BYTES = 8 * 2**20
# Of a small disk, such as a quota, the reserve is not most.
_SHARE = 4
_SHORT_BYTES = 4 * 2**20
_USED_UP_BYTES = 2**18
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Room:
    """The room of one store on its disk.

    Who writes to the store uses it, one thread at a time; `say` may be called by any thread.

    Parameters
    ----------
    directory : Path
        The state directory.
    reserve : int
        The bytes of the reserve; 0 for a program that only gives it up.
    """

    def __init__(self, directory: Path, reserve: int = 0) -> None:
        self._directory = directory
        self._path = directory / RESERVE
        whole = os.statvfs(directory)
        self._bytes = min(reserve, whole.f_frsize * whole.f_blocks // _SHARE)
        self._file = -1
        self._said: set[int | None] = set()

    def open(self, database: Path) -> None:
        """Allocate room for this database from now on.

        It is closed after every connection to it: closing a descriptor of the file would release
        SQLite's locks on it.
        """
        self._file = os.open(database, os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        """Allocate nothing any more; again is without effect."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @property
    def free_bytes(self) -> int:
        """How much this user may write."""
        disk = os.statvfs(self._directory)
        return disk.f_frsize * disk.f_bavail

    @property
    def _wanted_bytes(self) -> int:
        """How much has to be free for the reserve to be taken."""
        return self._bytes * 3 // 2

    @property
    def held(self) -> bool:
        """Whether there is a reserve."""
        return self._path.exists()

    @property
    def is_short(self) -> bool:
        """Whether a few steps may use up what there is."""
        return self.free_bytes < _SHORT_BYTES

    @property
    def is_used_up(self) -> bool:
        """Whether there is hardly anything."""
        return self.free_bytes < _USED_UP_BYTES

    def give_up(self) -> None:
        """Let others have the reserve."""
        self._path.unlink(missing_ok=True)

    def take(self) -> bool:
        """Take the reserve, if it is not there and there is more room than that.

        Returns
        -------
        bool
            Whether it is there, or none is wanted.
        """
        if not self._bytes or (self.held and self._path.stat().st_size == self._bytes):
            return True
        self.give_up()
        if self.free_bytes < self._wanted_bytes:
            return False
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(file, 0, self._bytes)
            finally:
                os.close(file)
        except OSError as error:
            self.give_up()
            if error.errno not in NO_ROOM:
                raise
            return False
        return True

    def need(self) -> None:
        """Raise StoreFullError unless the reserve is there: nothing new takes its place."""
        if not self.take():
            raise full(self._directory, (self._wanted_bytes, self.free_bytes))

    def provide(self, size: int) -> None:
        """Allocate `size` bytes for the database; raise StoreFullError if there is no room."""
        allocated = os.fstat(self._file).st_size
        if size <= allocated:
            return
        try:
            os.posix_fallocate(self._file, allocated, size - allocated)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise full(self._directory) from error

    def say(self, error: StoreFullError, run_id: int | None = None) -> None:
        """Log that the disk is full: once for each run until there is room again.

        Without a run, only if nothing has been said yet.
        """
        if run_id in self._said or (run_id is None and self._said):
            return
        self._said.add(run_id)
        if run_id is None:
            logger.warning("%s", error)
        else:
            with labelled(run=run_id):
                logger.error("%s", error)

    def look(self) -> None:
        """Take the reserve if there is room again, and log that there is."""
        if self.take() and self._said and not self.is_short:
            self._said.clear()
            logger.info("The disk of '%s' has room again.", self._directory)


def full(directory: Path, room: tuple[int, int] | None = None) -> StoreFullError:
    """Return the error for a full disk, with the way out.

    Parameters
    ----------
    directory : Path
        The state directory.
    room : (int, int), optional
        How many bytes have to be free, and how many are, where that is known.
    """
    enough = ""
    if room is not None:
        wanted, free = room
        # Of what is rounded, no less.
        until = human_size(wanted + wanted // 200 + 1)
        enough = f", until {until} are free ({human_size(free)} now)"
    return StoreFullError(
        f"The disk of '{directory}' is full, so the new state was not stored; the old state is "
        "still there. Free runs with: fedstate state free --finished --state "
        f"{directory} or other space on this disk{enough}; the node then goes on by itself."
    )
