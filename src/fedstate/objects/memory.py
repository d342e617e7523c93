"""The large contents of a message that are kept in memory."""

from collections.abc import Iterable

# Of smaller parts each would take more memory than it has bytes.
_SMALL_BYTES = 4096


class MemoryArrival:
    """The contents of one message, one after the other, as `Arrival` has them in a file.

    Attributes
    ----------
    arrived : list of bytes
        Those that are complete.
    """

    def __init__(self) -> None:
        self.arrived: list[bytes] = []
        self._left = 0
        self._parts: list[bytes | bytearray | memoryview] = []

    def take(self, parts: Iterable[int | bytes | memoryview]) -> None:
        """Take what comes: the size of a content, then its bytes in parts."""
        for part in parts:
            if isinstance(part, int):
                # No room is made for what a message only says that it has.
                self._left, self._parts = part, []
            else:
                self._add(part)
                self._left -= len(part)
            if not self._left:
                self.arrived.append(b"".join(self._parts))
                self._parts = []

    def _add(self, part: bytes | memoryview) -> None:
        last = self._parts[-1] if self._parts else None
        if len(part) >= _SMALL_BYTES:
            self._parts.append(part)
        elif isinstance(last, bytearray):
            last += part
        else:
            self._parts.append(bytearray(part))

    def finish(self) -> None:
        """Note that all has come."""

    def close(self) -> None:
        """Note that the request has been answered."""
