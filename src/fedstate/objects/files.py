"""Files with the contents of objects: written once, checked before they are handed out.

There is one file for each request that brought large contents, with these one after the other.
It is durable before a row of the database names it, and goes with its last row. What no row names
was left by a process that was killed, and is removed at the next start.

A content is checked against its object's digest when it arrives. Later its file is known by its
inode, its size and the times of its last changes: only one that is not the same any longer, and
every one after a restart, is read and checked once more before it is handed out.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedstate.errors import SettingError
from fedstate.failpoints import reach
from fedstate.logs import logger
from fedstate.objects.contents import (
    Arrived,
    DamagedContentError,
    Descriptor,
    Place,
    StoredContent,
)
from fedstate.os_errors import PASSING, sentence

# Below this size a content is kept in the database: a file costs more.
LARGE_BYTES = 64 * 1024
# As much is read and checked at once.
_PIECE_BYTES = 1024 * 1024
_LOCK = "lock"


class Arrival:
    """One file, and the contents that are written to it, one after the other.

    One thread at a time writes to it. What is not kept is deleted when it is closed.
    """

    def __init__(self, files: "ObjectFiles") -> None:
        self.name = secrets.token_hex(16)
        self.arrived: list[Arrived] = []
        self._files = files
        self._descriptor: Descriptor | None = None
        self._size = 0
        self._is_kept = False
        self._is_claimed = False
        self._is_closed = False
        self._begun: tuple[int, int, Any] | None = None

    def take(self, parts: Iterable[int | bytes | memoryview]) -> None:
        """Write what comes: the size of a content, then its bytes in parts.

        Raises
        ------
        OSError
            The disk is full, or fails; the error names the file.
        """
        try:
            for part in parts:
                if isinstance(part, int):
                    self._begun = (self._size, part, hashlib.sha256())
                else:
                    self._append(part)
        except OSError as error:
            error.filename = str(self._files.path(self.name))
            raise

    def _append(self, part: bytes | memoryview) -> None:
        if self._descriptor is None:
            self._descriptor = self._files.create(self.name)
            if self._is_closed:  # by a request that was given up while this waited for a thread
                self._files.delete([self.name])
        assert self._begun is not None  # noqa: S101  a size comes before
        offset, size, digest = self._begun
        view = memoryview(part)
        digest.update(view)
        self._size += len(view)
        while len(view):
            view = view[os.write(self._descriptor.number, view) :]
        if self._size == offset + size:
            place = Place(self.name, offset, size)
            self.arrived.append(Arrived(place, digest.hexdigest(), self))

    def read(self, place: Place, size: int) -> bytes:
        """Return the first bytes of a content."""
        assert self._descriptor is not None  # noqa: S101  the content is in it
        return StoredContent(place, self._descriptor).read(0, size)

    def finish(self) -> None:
        """Make all that was written durable.

        Raises
        ------
        OSError
            The disk is full, or fails.
        """
        if self._descriptor is None:
            return
        try:
            os.fsync(self._descriptor.number)
            self._files.sync_directory()
        except OSError as error:
            error.filename = str(self._files.path(self.name))
            raise
        self._files.note_checked(self._descriptor, [each.place for each in self.arrived])
        reach("object-written")

    def claim(self) -> None:
        """Note that a transaction under way names the file; `keep` or `give_up` follows."""
        self._is_claimed = True

    def keep(self) -> None:
        """Note that rows name the file, which is theirs from now on."""
        self._is_kept = True

    def give_up(self) -> None:
        """Note that the transaction which would have named the file was rolled back."""
        self._is_claimed = False
        if self._is_closed:
            self.close()

    def close(self) -> None:
        """Delete the file, unless it is kept or may still be."""
        self._is_closed = True
        if self._descriptor is not None and not (self._is_kept or self._is_claimed):
            self._files.delete([self.name])


@dataclass
class ObjectFiles:
    """The files in one directory; safe to use from every thread.

    Parameters
    ----------
    directory : Path
        The directory.
    """

    directory: Path
    # For each file its identity when the contents at these offsets were what they should be.
    _checked: dict[str, dict[int, tuple[int, ...]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _owned: Descriptor | None = None

    def open(self, named: Collection[str]) -> None:
        """Create the directory if it is not there, and delete the files that no row names.

        Nothing is deleted where another process has opened the same directory: what arrives
        there has no row yet.

        Parameters
        ----------
        named : collection of str
            The files that rows name.

        Raises
        ------
        SettingError
            The directory cannot be used.
        """
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            owned = Descriptor(os.open(self.path(_LOCK), os.O_RDWR | os.O_CREAT, 0o600))
            try:
                fcntl.flock(owned.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self._owned = owned
            left = {each.name for each in self.directory.iterdir()} - {_LOCK, *named}
            for name in left:
                self.path(name).unlink()
        except OSError as error:
            raise SettingError(
                f"The contents of messages are kept beside the SuperLink's database: "
                f"{sentence(error)}"
            ) from None
        if left:
            logger.info("Files of objects that did not arrive whole, deleted: %d.", len(left))

    def close(self) -> None:
        """Let another process open the directory."""
        self._owned = None

    def path(self, name: str) -> Path:
        """Return the path of a file."""
        return self.directory / name

    def create(self, name: str) -> Descriptor:
        """Create a file for a new arrival."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return Descriptor(os.open(self.path(name), flags, 0o600))

    def sync_directory(self) -> None:
        """Make durable which files there are."""
        directory = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    @contextlib.contextmanager
    def arrival(self) -> Iterator[Arrival]:
        """Return a new file in the block, after which it is deleted unless it is kept."""
        arrival = Arrival(self)
        try:
            yield arrival
        finally:
            arrival.close()

    def content(self, place: Place, object_id: str) -> StoredContent:
        """Return a content to be handed out.

        Raises
        ------
        DamagedContentError
            The file is missing or too short, or the content is another one.
        OSError
            This process has too many files open, or the system too little memory.
        """
        try:
            number = os.open(self.path(place.file), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise DamagedContentError(f"its file '{self.path(place.file)}' is missing") from None
        except OSError as error:
            if error.errno in PASSING:
                raise
            raise DamagedContentError(
                f"its file '{self.path(place.file)}' cannot be read ({error.strerror})"
            ) from None
        stored = StoredContent(place, Descriptor(number))
        # Before it is read: what is changed meanwhile is checked once more.
        identity = _identity(stored.descriptor)
        with self._lock:
            known = self._checked.get(place.file, {}).get(place.offset)
        if known != identity:
            self._check(stored, object_id)
            self._note(identity, [place])
        return stored

    def _check(self, stored: StoredContent, object_id: str) -> None:
        digest = hashlib.sha256()
        try:
            for offset in range(0, len(stored), _PIECE_BYTES):
                digest.update(stored.read(offset, min(_PIECE_BYTES, len(stored) - offset)))
        except OSError as error:
            if error.errno in PASSING:
                raise
            path = self.path(stored.place.file)
            raise DamagedContentError(
                f"its file '{path}' cannot be read ({error.strerror})"
            ) from None
        if digest.hexdigest() != object_id:
            raise DamagedContentError(
                f"its file '{self.path(stored.place.file)}' has changed since it was written"
            )

    def note_checked(self, descriptor: Descriptor, places: Sequence[Place]) -> None:
        """Note that contents of a file, as it is now, are what they should be."""
        self._note(_identity(descriptor), places)

    def _note(self, identity: tuple[int, ...], places: Sequence[Place]) -> None:
        with self._lock:
            for place in places:
                self._checked.setdefault(place.file, {})[place.offset] = identity

    def delete(self, names: Iterable[str]) -> None:
        """Delete files; one that cannot be deleted is tried again at the next start."""
        for name in names:
            with self._lock:
                self._checked.pop(name, None)
            try:
                self.path(name).unlink(missing_ok=True)
            except OSError as error:
                logger.warning("An object's file is left behind: %s", sentence(error))


def is_full(error: OSError) -> bool:
    """Return whether there was no room for what was to be written."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _identity(descriptor: Descriptor) -> tuple[int, ...]:
    """Return what changes whenever a file is written, or is another one."""
    stat = os.fstat(descriptor.number)
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
