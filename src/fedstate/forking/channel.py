"""Messages between processes over a socket pair: one JSON object per line."""

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

_CHUNK = 65536
_MAX_DESCRIPTORS = 1


class Channel:
    """One end of a Unix socket pair that carries JSON objects, and descriptors beside them.

    Parameters
    ----------
    end
        A connected Unix stream socket; the channel owns it.
    """

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.ended = False
        self._received = b""

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
        """
        for message, _ in self.receive_with_descriptors():
            yield message

    def receive_with_descriptors(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Yield messages, each with the descriptors that came with the same read."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, _CHUNK, _MAX_DESCRIPTORS)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data, descriptors = b"", []
        if not data:
            self.ended = True
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            yield json.loads(line), descriptors
            descriptors = []

    def close(self) -> None:
        """Close this end."""
        self.ended = True
        with contextlib.suppress(OSError):
            self.socket.close()
