"""The file of a run's output: what its apps print on one node, bounded, for as long as its state.

An executor writes ``RUN.log`` in a directory that no run reaches, one JSON object a line. A file
that is full becomes ``RUN.log.1``, in the place of the one before it. Whoever keeps the run's
state deletes them with it.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fedstate.errors import SettingError
from fedstate.logs.lines import Line, parse_line

# Of one file; a run has two on each node.
MOST_BYTES = 10 * 1024**2
# Of a directory; the files of the run that ended first go first.
MOST_BYTES_IN_ALL = 1024**3
_MODE = 0o640
_SUFFIX, _OLDER = ".log", ".log.1"
_READ_BYTES = 1024**2
_TAIL_BYTES = 1024
_ENDED = "The run has ended, and with it its output here."


class RunFile:
    """The file of one run, as the executor writes it.

    What cannot be written, since the disk is full, is lost: no run stops for its output.

    Parameters
    ----------
    directory : Path
        Where the files are.
    run_id : int
        The run.
    most_bytes : int
        How large a file may get.
    """

    def __init__(self, directory: Path, run_id: int, most_bytes: int = MOST_BYTES) -> None:
        self._path = directory / f"{run_id}{_SUFFIX}"
        self._older = directory / f"{run_id}{_OLDER}"
        self._most_bytes = most_bytes
        self._run_id = run_id
        self._file = -1
        self._size = 0
        self.problem: OSError | None = None
        self.write([])

    def write(self, lines: Iterable[Line]) -> None:
        """Append lines, each as a whole."""
        content = bytearray()
        try:
            self._open()
            for line in lines:
                written = f"{line.to_json()}\n".encode()
                if self._size + len(content) + len(written) > self._most_bytes and (
                    self._size or content
                ):
                    self._append(content)
                    content.clear()
                    self._turn()
                content += written
            self._append(content)
        except OSError as error:
            self.problem = error

    def end(self) -> None:
        """Write that the run has ended: whoever follows the file need not wait for more."""
        line = Line(time.time(), "INFO", "executor", _ENDED, {"run": str(self._run_id)})
        self.write([line])
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        if self._file >= 0:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self._path, flags, _MODE)
        with contextlib.suppress(OSError):  # of another user
            os.fchmod(self._file, _MODE)
        self._size = os.fstat(self._file).st_size

    def _append(self, content: bytes | bytearray) -> None:
        left = memoryview(bytes(content))
        while left:
            count = os.write(self._file, left)
            left, self._size = left[count:], self._size + count

    def _turn(self) -> None:
        self.close()
        self._path.replace(self._older)
        self._open()


@dataclass(frozen=True)
class RunOutput:
    """The output of one run in a directory.

    Attributes
    ----------
    run_id : int
        The run.
    size : int
        Bytes of its files.
    written_at : float
        Unix time of the last line.
    """

    run_id: int
    size: int
    written_at: float


def outputs_in(directory: Path) -> dict[int, RunOutput]:
    """Return the output of each run in a directory, by the run's ID."""
    found: dict[int, RunOutput] = {}
    try:
        entries = [*os.scandir(directory)]
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return {}
        raise
    for entry in entries:
        name = entry.name.removesuffix(".1").removesuffix(_SUFFIX)
        if not (name.isdecimal() and entry.name in (f"{name}{_SUFFIX}", f"{name}{_OLDER}")):
            continue
        with contextlib.suppress(OSError):  # it was deleted this moment
            status = entry.stat(follow_symlinks=False)
            before = found.get(int(name), RunOutput(int(name), 0, 0.0))
            size, last = before.size + status.st_size, max(before.written_at, status.st_mtime)
            found[int(name)] = RunOutput(int(name), size, last)
    return found


def delete_output(directory: Path, run_id: int) -> None:
    """Delete the output of a run; without any, nothing happens."""
    for suffix in (_SUFFIX, _OLDER):
        with contextlib.suppress(OSError):
            (directory / f"{run_id}{suffix}").unlink()


def bound_outputs(
    directory: Path, kept: Collection[int] = (), most_bytes: int = MOST_BYTES_IN_ALL
) -> list[int]:
    """Delete the oldest output of a directory until it is no larger than it may be.

    Parameters
    ----------
    directory : Path
        The directory.
    kept : collection of int
        Runs that go on, whose output stays.
    most_bytes : int
        How large it may be.

    Returns
    -------
    list of int
        The runs whose output is gone.
    """
    there = outputs_in(directory)
    total = sum(each.size for each in there.values())
    gone = []
    for each in sorted(there.values(), key=lambda each: each.written_at):
        if total <= most_bytes:
            break
        if each.run_id not in kept:
            delete_output(directory, each.run_id)
            gone.append(each.run_id)
            total -= each.size
    return gone


def prepare_directory(directory: Path, option: str) -> Path:
    """Make the directory of outputs, for this user and group alone; return it, absolute.

    Raises
    ------
    SettingError
        It cannot be written.
    """
    path = directory.expanduser().absolute()
    try:
        if not path.is_dir():
            path.mkdir(parents=True, mode=0o750)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise SettingError(
            f"{option} is {directory}, which cannot be written ({error.strerror}): name a "
            "directory of this user's own."
        ) from None
    return path


def has_end(directory: Path, run_id: int) -> bool:
    """Return whether the last line of a run's output says that the run has ended."""
    file = _open_to_read(directory / f"{run_id}{_SUFFIX}")
    if file is None:
        return False
    try:
        size = os.fstat(file).st_size
        last = os.pread(file, _TAIL_BYTES, max(0, size - _TAIL_BYTES)).rstrip(b"\n")
    finally:
        os.close(file)
    line = parse_line(last.rpartition(b"\n")[2].decode(errors="replace"))
    return line is not None and _is_end(line)


def _is_end(line: Line) -> bool:
    return line.component == "executor" and line.text == _ENDED


def _open_to_read(path: Path) -> int | None:
    """Open a file of output; None if there is none.

    A link, or a pipe, that somebody has put there is no output.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return None
    return file


class Reader:
    """Reads the output of a run, as far as it has come, and goes on where it has ended.

    Parameters
    ----------
    directory : Path
        Where it is.
    run_id : int
        The run.

    Attributes
    ----------
    ended : bool
        Whether the last line that was read says that the run has ended.
    """

    def __init__(self, directory: Path, run_id: int) -> None:
        self._path = directory / f"{run_id}{_SUFFIX}"
        self._older = directory / f"{run_id}{_OLDER}"
        self._run_id = str(run_id)
        self._file = -1
        self._partial = b""
        self._begun = False
        self.ended = False

    @property
    def begun(self) -> bool:
        """Whether the run has output here."""
        return self._file >= 0

    def read(self) -> Iterator[Line]:
        """Yield the lines that have come since the last call."""
        if not self._begun:
            self._begun = True
            self._open(self._older)
            yield from self._rest()
        while True:
            yield from self._rest()
            if self._is_current() or not self._open(self._path):
                return

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self, path: Path) -> bool:
        if (file := _open_to_read(path)) is None:
            return False
        self.close()
        self._file, self._partial = file, b""
        return True

    def _is_current(self) -> bool:
        if self._file < 0:
            return False
        try:
            return os.path.samestat(os.fstat(self._file), self._path.lstat())
        except FileNotFoundError:
            return True  # between two names, or deleted: what is open is the last that there is

    def _rest(self) -> Iterator[Line]:
        while self._file >= 0 and (data := os.read(self._file, _READ_BYTES)):
            *whole, self._partial = (self._partial + data).split(b"\n")
            for each in whole:
                line = parse_line(each.decode(errors="replace"))
                if line is None or line.labels.get("run") != self._run_id:
                    continue
                self.ended = _is_end(line)
                if not self.ended:
                    yield line
