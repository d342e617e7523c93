"""The content of an object: in memory, in a file, or arriving in one."""

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedstate.objects.files import Arrival

# Enough for the head of all objects but those with many children.
_HEAD_BYTES = 4096


@dataclass(frozen=True)
class Place:
    """Where a content is: the name of the file, and which of its bytes."""

    file: str
    offset: int
    size: int


class DamagedContentError(Exception):
    """A content is not what it was when it was stored."""


class Descriptor:
    """An open file, which is closed with the last reference to this."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.number)


@dataclass(frozen=True)
class StoredContent:
    """A content in a file, which stays readable when the file is deleted."""

    place: Place
    descriptor: Descriptor

    def __len__(self) -> int:
        return self.place.size

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """Return bytes of the content.

        Raises
        ------
        DamagedContentError
            The file ends before.
        """
        size = self.place.size - offset if size is None else size
        data = os.pread(self.descriptor.number, size, self.place.offset + offset)
        if len(data) < size:
            rest = self.place.offset + offset + len(data)
            more = os.pread(self.descriptor.number, size - len(data), rest)
            if not more:
                raise DamagedContentError(f"its file '{self.place.file}' ends too early")
            return data + self.read(offset + len(data), size - len(data))
        return data

    def read_if_cached(self, offset: int, size: int) -> bytearray | None:
        """Return bytes of the content if the system has them in memory, or None."""
        data = bytearray(size)
        try:
            count = os.preadv(
                self.descriptor.number, [data], self.place.offset + offset, os.RWF_NOWAIT
            )
        except (OSError, AttributeError):  # not cached; or not on this system, or file system
            return None
        return data if count == size else None


@dataclass(frozen=True)
class Arrived:
    """A content that has arrived with a request, in a file that no row names yet.

    Attributes
    ----------
    place : Place
        Where it is.
    object_id : str
        Its digest, which is the ID of the object with this content.
    """

    place: Place
    object_id: str
    arrival: "Arrival"

    def __len__(self) -> int:
        return self.place.size

    def read(self) -> bytes:
        """Return the content."""
        return self.arrival.read(self.place, self.place.size)

    def head(self, end: bytes) -> bytes | None:
        """Return the content up to `end`, without it; None if that is not in it."""
        size = min(self.place.size, _HEAD_BYTES)
        while True:
            found, is_there, _ = self.arrival.read(self.place, size).partition(end)
            if is_there:
                return found
            if size == self.place.size:
                return None
            size = min(self.place.size, 16 * size)


# What an object has: in memory, or in a file.
Content = bytes | StoredContent


def in_memory(content: Content | Arrived) -> bytes:
    """Return a content as bytes, whatever it is in."""
    return content if isinstance(content, bytes) else content.read()
