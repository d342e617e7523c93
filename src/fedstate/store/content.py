"""Files of content: the large chunks of a store, beside its database.

A transaction writes the large chunks that it stores into one new file, which is whole on the disk
before the rows that name it are committed, and is never written to again. A file goes with its
last chunk; what a chunk took in a file that stays is given back as a hole.

The name of a file is a random number, never given twice, and its first page repeats it. A chunk
begins at a page of the file.
"""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedstate.os_errors import PASSING, sentence
from fedstate.store.errors import DamagedValueError, StoreAccessError

DIRECTORY = "node.content"
PAGE_BYTES = 4096
# Smaller chunks are rows, and so are all of a small value: a file of its own costs a commit two
# more syncs. Decision 006 says what was measured.
FILE_BYTES = 16 * 1024
VALUE_BYTES = 1024 * 1024

_NAME = re.compile(r"([0-9a-f]{16})\.content")
_MAGIC = b"fedstate content 1\n"


def name_of(file_id: int) -> str:
    """Return the name of the file of content with a number."""
    return f"{file_id:016x}.content"


def number_of(name: str) -> int | None:
    """Return the number of the file of content with a name; None if it is no such name."""
    match = _NAME.fullmatch(name)
    return int(match[1], 16) if match else None


def the_file(file_id: int) -> str:
    """Return how findings name a file."""
    return f"the file '{DIRECTORY}/{name_of(file_id)}'"


def first_page(file_id: int) -> bytes:
    """Return what a file of content begins with."""
    return (_MAGIC + name_of(file_id).encode() + b"\n").ljust(PAGE_BYTES, b"\0")


def whole_pages(size: int) -> int:
    """Return the bytes of the pages that `size` bytes take."""
    return -(-size // PAGE_BYTES) * PAGE_BYTES


class Content(Protocol):
    """Where the large chunks of a database are; any thread may read."""

    def read(self, file_id: int, start: int, length: int) -> bytes:
        """Return bytes of a file.

        Raises
        ------
        DamagedValueError
            The file is missing, ends before them, or cannot be read.
        StoreAccessError
            This user may not read it, or this process has too many files open.
        """

    def problem(self, file_id: int, size: int) -> str | None:
        """Say what is wrong with a file as a whole, or None; `size` is how long it has to be."""


class ContentDirectory:
    """The files of content of the store in a state directory.

    Parameters
    ----------
    directory : Path
        The state directory.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / DIRECTORY

    def file(self, file_id: int) -> Path:
        """Return the path of a file."""
        return self.path / name_of(file_id)

    def read(self, file_id: int, start: int, length: int) -> bytes:
        """Return bytes of a file; raise DamagedValueError."""
        return _read(self.file(file_id), file_id, start, length)

    def problem(self, file_id: int, size: int) -> str | None:
        """Say what is wrong with a file as a whole, or None."""
        try:
            found = self.file(file_id).stat().st_size
            if found < size:
                return f"{the_file(file_id)} is cut off, it has {found} of {size} bytes"
            if self.read(file_id, 0, PAGE_BYTES) != first_page(file_id):
                return f"{the_file(file_id)} is another file, its first page is not its own"
        except FileNotFoundError:
            return f"{the_file(file_id)} is missing"
        except OSError as error:
            _raise_if_sound(error, self.file(file_id))
            return f"{the_file(file_id)} cannot be read ({error.strerror})"
        except DamagedValueError as error:
            return str(error)
        if found > size:
            return f"{the_file(file_id)} was added to, it has {found} bytes instead of {size}"
        return None

    def files(self) -> dict[int, os.stat_result]:
        """Return the files that are there, by their numbers."""
        found: dict[int, os.stat_result] = {}
        for path in self._paths():
            number = number_of(path.name)
            if number is not None:
                # Another program's sweep may have removed it.
                with contextlib.suppress(FileNotFoundError):
                    found[number] = path.stat()
        return found

    def others(self) -> list[str]:
        """Return the names of what is beside the files and is none of them."""
        return sorted(each.name for each in self._paths() if number_of(each.name) is None)

    @property
    def disk_bytes(self) -> int:
        """How much of the disk the files take; holes take nothing."""
        return sum(each.st_blocks * 512 for each in self.files().values())

    def _paths(self) -> list[Path]:
        try:
            return list(self.path.iterdir())
        except FileNotFoundError:
            return []


@dataclass(frozen=True)
class ContentInBackup:
    """The content in a backup: one file of content, behind the database.

    Attributes
    ----------
    backup : Path
        The backup.
    base : int
        Where the file of content begins in it.
    file_id : int
        Its number.
    size : int
        Its bytes.
    """

    backup: Path
    base: int
    file_id: int
    size: int

    def read(self, file_id: int, start: int, length: int) -> bytes:
        """Return bytes of a file; raise DamagedValueError."""
        if file_id != self.file_id or start + length > self.size:
            raise DamagedValueError(f"{the_file(file_id)} is missing")
        return _read(self.backup, file_id, self.base + start, length)

    def problem(self, file_id: int, size: int) -> str | None:
        """Say what is wrong with a file as a whole, or None."""
        if file_id != self.file_id:
            return f"{the_file(file_id)} is missing"
        if size != self.size:
            return f"{the_file(file_id)} is cut off, it has {self.size} of {size} bytes"
        return None


class NoContent:
    """That of a database all of whose chunks are rows."""

    def read(self, file_id: int, start: int, length: int) -> bytes:  # noqa: ARG002
        """Raise DamagedValueError."""
        raise DamagedValueError(f"{the_file(file_id)} is missing")

    def problem(self, file_id: int, size: int) -> str | None:  # noqa: ARG002
        """Say that a file is missing."""
        return f"{the_file(file_id)} is missing"


def _raise_if_sound(error: OSError, path: Path) -> None:
    """Raise StoreAccessError if the error says nothing of the content."""
    if error.errno in PASSING | {errno.EACCES, errno.EPERM}:
        named = OSError(error.errno, error.strerror, str(path))
        raise StoreAccessError(sentence(named)) from error


def _read(path: Path, file_id: int, start: int, length: int) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.pread(file, length, start)
            while len(found) < length:
                # One call returns at most 2 GiB, and less on some file systems.
                more = os.pread(file, length - len(found), start + len(found))
                if not more:
                    raise DamagedValueError(f"{the_file(file_id)} is cut off")
                found += more
        finally:
            os.close(file)
    except FileNotFoundError as error:
        raise DamagedValueError(f"{the_file(file_id)} is missing") from error
    except OSError as error:
        _raise_if_sound(error, path)
        raise DamagedValueError(
            f"{the_file(file_id)} cannot be read ({error.strerror})"
        ) from error
    return found


@contextmanager
def reading(directory: Path) -> Iterator[None]:
    """Keep the content of a store from being removed in the block, in whichever process.

    The snapshot that is read has to begin in the block. Nothing is written for it: the lock is
    on the state directory itself.
    """
    file = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Where there are no locks, such as on some media that cannot be written to, nothing is
        # removed either.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH)
        yield
    finally:
        os.close(file)


@contextmanager
def removing(directory: Path) -> Iterator[bool]:
    """Keep others from beginning to read in the block; whether nobody else reads."""
    file = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(file)
