"""What the programs of a run print: through a pipe to the executor, which bounds it.

The executor's own output may be a file. A program that had its descriptor could empty the file,
and fill the disk; and a limit on the size of files would hold for what others have printed, too.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

PREFIX = ".output-"
# A run may print this much at once, and then this much each second; the rest is dropped.
BURST_BYTES = 4 * 1024**2
BYTES_PER_SECOND = 64 * 1024
_READ_BYTES = 65536
_LONGEST_LINE = 8192
_STANDARD_ERROR = 2
# A program that prints faster than this reads must not keep the executor from everything else.
_MOST_READS = 16


class Output:
    """The executor's end of the pipe.

    Parameters
    ----------
    directory
        The run's directory, beside which the pipe has its name: the run's programs cannot open
        it, but what becomes the room does so before it goes behind the walls.
    run_id
        The run.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        directory: Path,
        run_id: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = pipe_of(directory)
        os.mkfifo(self._path, 0o600)
        # As /dev/stdout it can be opened again, for writing.
        self._path.chmod(0o622)
        # For writing, too: it then has no end whenever the last program of the run ends.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._run_id = run_id
        self._clock = clock
        self._allowed = float(BURST_BYTES)
        self._since = clock()
        self._dropped = 0
        self._line = b""

    def fileno(self) -> int:
        """Return the descriptor to read from."""
        return self._descriptor

    def copy(self) -> None:
        """Pass on what there is; not all of it, if it is much."""
        for _ in range(_MOST_READS):
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                return
            self._pass_on(data)

    def end_line(self) -> None:
        """Pass on what there is, and a line that nobody ended: a task of the run has ended."""
        self.copy()
        if self._line:
            _write(self._line + b"\n")
            self._line = b""

    def close(self) -> None:
        """Pass on what is left, and close the pipe."""
        if self._descriptor >= 0:
            self._tell_dropped()
            self.end_line()
            os.close(self._descriptor)
            self._descriptor = -1
            self._path.unlink(missing_ok=True)

    def _pass_on(self, data: bytes) -> None:
        now = self._clock()
        earned = (now - self._since) * BYTES_PER_SECOND
        self._allowed, self._since = min(BURST_BYTES, self._allowed + earned), now
        if len(data) > self._allowed:
            self._dropped += len(data)
            return
        self._allowed -= len(data)
        self._tell_dropped()
        # Whole lines, among which those of other runs may come.
        self._line += data
        end = self._line.rfind(b"\n") + 1
        if not end and len(self._line) > _LONGEST_LINE:
            end = len(self._line)
        _write(self._line[:end])
        self._line = self._line[end:]

    def _tell_dropped(self) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            _write(b"\n[Run %d printed too much: %d bytes dropped]\n" % (self._run_id, dropped))


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


def _write(data: bytes) -> None:
    left = memoryview(data)
    with contextlib.suppress(OSError):  # nobody is there to read it
        while left:
            left = left[os.write(_STANDARD_ERROR, left) :]
