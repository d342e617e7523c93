"""What the programs of a run print: through a pipe to the executor, which bounds it.

The executor's own output may be a file. A program that had its descriptor could empty the file,
and fill the disk; and a limit on the size of files would hold for what others have printed, too.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from fedstate.executor.printed import Printed

PREFIX = ".output-"
# A run may print this much at once, and then this much each second; the rest is dropped. Each
# line counts for as much more as its header takes: a flood may be of empty lines.
BURST_BYTES = 4 * 1024**2
BYTES_PER_SECOND = 64 * 1024
LINE_BYTES = 128
_READ_BYTES = 65536
_LONGEST_LINE = 8192
# A program that prints faster than this reads must not keep the executor from everything else.
_MOST_READS = 16


class Output:
    """The executor's end of the pipe.

    Parameters
    ----------
    directory
        The run's directory, beside which the pipe has its name: the run's programs cannot open
        it, but what becomes the room does so before it goes behind the walls.
    printed
        What becomes of the lines.
    clock
        Seconds that only grow.
    user
        The run's own user and group; None if it has none.
    """

    def __init__(
        self,
        directory: Path,
        printed: Printed,
        clock: Callable[[], float] = time.monotonic,
        *,
        user: int | None = None,
    ) -> None:
        self._path = pipe_of(directory)
        os.mkfifo(self._path, 0o600)
        if user is not None:
            # As /dev/stdout it can be opened again, for writing: by this run, and by no other,
            # which would print in its name.
            os.chown(self._path, -1, user)
            self._path.chmod(0o620)
        # For writing, too: it then has no end whenever the last program of the run ends.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._printed = printed
        self._clock = clock
        self._allowed = float(BURST_BYTES)
        self._since = clock()
        self._dropped = 0
        self._read: list[bytes] = []
        self._line = b""

    def fileno(self) -> int:
        """Return the descriptor to read from."""
        return self._descriptor

    def read(self) -> None:
        """Read what there is; not all of it, if it is much."""
        while len(self._read) < _MOST_READS:
            try:
                self._read.append(os.read(self._descriptor, _READ_BYTES))
            except BlockingIOError:
                return

    def pass_on(self) -> None:
        """Pass on what was read; what labels it is known by now."""
        read, self._read = self._read, []
        for data in read:
            self._take(data)

    def end_line(self) -> None:
        """Pass on what there is, and a line that nobody ended: a task of the run has ended."""
        self.read()
        self.pass_on()
        if self._line:
            self._printed.take([self._line])
            self._line = b""

    def close(self, *, run_ended: bool = False) -> None:
        """Pass on what is left, and close the pipe."""
        if self._descriptor >= 0:
            self.end_line()
            self._tell_dropped()
            os.close(self._descriptor)
            self._descriptor = -1
            self._path.unlink(missing_ok=True)
            self._printed.end(run_ended=run_ended)

    def _take(self, data: bytes) -> None:
        now = self._clock()
        earned = (now - self._since) * BYTES_PER_SECOND
        self._allowed, self._since = min(BURST_BYTES, self._allowed + earned), now
        cost = len(data) + LINE_BYTES * (data.count(b"\n") + 1)
        if cost > self._allowed:
            self._dropped += len(data)
            return
        self._allowed -= cost
        self._tell_dropped()
        # Whole lines, among which those of other runs may come.
        *whole, self._line = (self._line + data).split(b"\n")
        lines = [piece for line in whole for piece in _pieces(line)]
        if len(self._line) > _LONGEST_LINE:
            lines += _pieces(self._line)
            self._line = b""
        if lines:
            self._printed.take(lines)

    def _tell_dropped(self) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._printed.note(f"The run printed too much: {dropped} bytes are dropped.")


def _pieces(line: bytes) -> list[bytes]:
    """Return a line in pieces that are not longer than a line may be."""
    starts = range(0, len(line), _LONGEST_LINE)
    return [line[start : start + _LONGEST_LINE] for start in starts] or [line]


def open_output(directory: Path) -> None:
    """Let this process, and what it will start, print into the pipe of the run.

    Raises
    ------
    OSError
        There is no such pipe.
    """
    # For reading, too: to print must not be an error when the executor has been killed.
    descriptor = os.open(pipe_of(directory), os.O_RDWR)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)


def pipe_of(directory: Path) -> Path:
    """Return where the pipe of the run with this directory has its name."""
    return directory.with_name(f"{PREFIX}{directory.name}")
