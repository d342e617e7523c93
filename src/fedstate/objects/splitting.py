"""Taking a message in protobuf's wire format apart while it arrives.

What is large in one of its fields never is in memory as a whole: it is handed on in the parts in
which it comes. The rest is a message of its own, in which these contents are empty.
"""

from collections.abc import Iterator

from fedstate.large.wire import read_varint

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
# The beginning of a field that does not end: whoever reads the rest finds that it is cut off.
_UNFINISHED = b"\x0a\x7f"


class Splitter:
    """Splits large contents of a field from a message.

    Parameters
    ----------
    field : int
        The field's number, at the top of the message.
    at_least : int
        The size in bytes from which a content is large.

    Attributes
    ----------
    large : list of int
        Which occurrences of the field, counted from 0, are large.
    """

    def __init__(self, field: int, at_least: int) -> None:
        self.large: list[int] = []
        self._field = field
        self._at_least = at_least
        self._bare = bytearray()
        self._head = bytearray()
        self._count = 0
        self._left = 0
        self._is_large = False
        self._unreadable = False

    def feed(self, data: bytes | memoryview) -> Iterator[int | memoryview]:
        """Take the next part of the message.

        Yields
        ------
        int or memoryview
            The size of a large content, then its bytes in parts, some of them in later calls.
        """
        view, at = memoryview(data), 0
        while at < len(view):
            if self._unreadable:
                self._bare += view[at:]
                return
            if self._left:
                part = view[at : at + self._left]
                at += len(part)
                self._left -= len(part)
                if self._is_large:
                    yield part
                else:
                    self._bare += part
                continue
            self._head.append(view[at])
            at += 1
            if self._begins():
                yield self._left

    def rest(self) -> bytes:
        """Return the message without the large contents, once all of it has been taken.

        That of a message which has ended too early cannot be read, either.
        """
        unfinished = _UNFINISHED if self._left and self._is_large else b""
        return bytes(self._bare + self._head) + unfinished

    def _begins(self) -> bool:
        """Look whether a field's head is complete; return whether it is a large content's."""
        key, at = _complete_varint(self._head, 0)
        if key is None:
            self._unreadable = len(self._head) > _LONGEST_VARINT
            return self._pass_on() if self._unreadable else False
        number, kind = key >> 3, key & 7
        if kind in (_FIXED32, _FIXED64):
            self._left = 4 if kind == _FIXED32 else 8
            return self._pass_on()
        if kind not in (_VARINT, _BYTES):
            self._unreadable = True
            return self._pass_on()
        value, _ = _complete_varint(self._head, at)
        if value is None:
            self._unreadable = len(self._head) > at + _LONGEST_VARINT
            return self._pass_on() if self._unreadable else False
        if kind == _VARINT:
            return self._pass_on()
        self._left = value
        if number != self._field:
            return self._pass_on()
        self._count += 1
        if value < self._at_least:
            return self._pass_on()
        self._is_large = True
        self.large.append(self._count - 1)
        self._bare += self._head[:at] + b"\0"
        self._head.clear()
        return True

    def _pass_on(self) -> bool:
        self._is_large = False
        self._bare += self._head
        self._head.clear()
        return False


def _complete_varint(data: bytearray, at: int) -> tuple[int | None, int]:
    """Return a number and where it ends; None if the data ends before."""
    try:
        return read_varint(memoryview(bytes(data)), at)
    except IndexError:
        return None, at
