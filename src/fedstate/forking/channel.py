"""Messages between processes over a socket pair: one JSON object per line."""

import contextlib
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_CHUNK = 65536
_MAX_DESCRIPTORS = 1
# A task's `pulled` carries a message without its content; nothing that is sent is longer.
_MAX_LINE = 8 * 1024 * 1024


class MalformedMessageError(Exception):
    """What came over a channel is no message: whoever sent it is not to be believed."""


class Channel:
    """One end of a Unix socket pair that carries JSON objects, and descriptors beside them.

    Whoever is at the other end may be hostile: a message that cannot be read raises
    `MalformedMessageError`, and no read takes more than one piece of what is there.

    Parameters
    ----------
    end
        A connected Unix stream socket; the channel owns it.
    """

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.ended = False
        self._received = bytearray()

    @staticmethod
    def pair() -> "tuple[Channel, socket.socket]":
        """Return a channel and the socket of its other end."""
        ours, theirs = socket.socketpair()
        return Channel(ours), theirs

    def fileno(self) -> int:
        """Return the descriptor, so that a selector takes the channel itself."""
        return self.socket.fileno()

    def send(self, message: Mapping[str, Any], descriptor: int | None = None) -> bool:
        """Send one message; return False when nobody takes it at the other end."""
        line = json.dumps(message).encode() + b"\n"
        try:
            if descriptor is None:
                self.socket.sendall(line)
            else:
                # A short line goes out whole, so that one read gives it and the descriptor.
                socket.send_fds(self.socket, [line], [descriptor])
        except (BrokenPipeError, ConnectionResetError, BlockingIOError):
            return False
        return True

    def receive(self) -> Iterator[dict[str, Any]]:
        """Yield the messages of one read; set `ended` once the other end is closed.

        Blocks until something can be read, as the socket does.

        Raises
        ------
        MalformedMessageError
            If something else than a JSON object comes.
        """
        # A descriptor that comes along is not taken, and so closed by the kernel: whoever sends
        # enough of them would else take all that this process may have.
        for line in self._read(lambda: self.socket.recv(_CHUNK)):
            yield _message(line)

    def receive_with_descriptors(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Yield messages, each with the descriptors that came with it, from somebody trusted.

        Raises
        ------
        MalformedMessageError
            If something else than a JSON object comes.
        """
        descriptors: list[int] = []

        def read() -> bytes:
            data, found, _, _ = socket.recv_fds(self.socket, _CHUNK, _MAX_DESCRIPTORS)
            descriptors.extend(found)
            return data

        lines = self._read(read)
        # The system never adds to a read what comes after descriptors, only what was before.
        for number, line in enumerate(lines, start=1):
            yield _message(line), descriptors if number == len(lines) else []

    def _read(self, read: Callable[[], bytes]) -> list[bytes]:
        """Return the lines of one read."""
        try:
            data = read()
        except BlockingIOError:
            return []
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = True
            return []
        # A long line may come byte by byte, and is not to be gone through with each of them.
        self._received += data
        lines: list[bytes] = []
        if b"\n" in data:
            *lines, rest = bytes(self._received).split(b"\n")
            self._received = bytearray(rest)
        if len(self._received) > _MAX_LINE:
            raise MalformedMessageError(f"a line of more than {_MAX_LINE} bytes")
        return lines

    def close(self) -> None:
        """Close this end."""
        self.ended = True
        with contextlib.suppress(OSError):
            self.socket.close()


def _message(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MalformedMessageError(f"a line that is no JSON ({type(error).__name__})") from None
    if not isinstance(message, dict):
        raise MalformedMessageError(f"a {type(message).__name__} in place of a JSON object")
    return message
