"""Connections whose last request was answered before its body had come.

Closed at once, such a connection is reset, since something on it has not been read; and a client
that sends all of a body before it reads the answer may then not be shown the answer. So the end
is said, and for a while what still comes is thrown away: by the kernel, which takes no memory for
it, and of encrypted data nothing is decrypted.
"""

import asyncio
import os
import socket

# Together they leave most clients the time to send a body and read the answer.
_SECONDS = 5.0
_BYTES = 64 * 1024 * 1024
# How many of them there are at once; for another one the oldest is closed.
_MOST = 64
# How much is thrown away before others have their turn.
_TURN = 16
_NOWHERE = bytearray(256 * 1024)


class Lingering:
    """The connections of a server that have been answered and not closed yet."""

    def __init__(self) -> None:
        self._left: dict[socket.socket, _Left] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._left)

    def take(self, connection: int) -> None:
        """Take the descriptor of a connection, which may be closed by the caller then.

        Everything that is to be sent on it has been handed to the kernel.
        """
        if self._closed:
            return
        try:
            sock = socket.socket(fileno=os.dup(connection))
        except OSError:  # no descriptor is left, or the client has gone
            return
        if len(self._left) >= _MOST:
            self._drop(next(iter(self._left)))
        loop = asyncio.get_running_loop()
        self._left[sock] = _Left(loop, loop.call_later(_SECONDS, self._drop, sock))
        try:
            sock.setblocking(False)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(sock)
        else:
            loop.add_reader(sock, self._read, sock)

    def close(self) -> None:
        """Close all, and take no more."""
        self._closed = True
        for sock in [*self._left]:
            self._drop(sock)

    def _read(self, sock: socket.socket) -> None:
        left = self._left[sock]
        try:
            for _ in range(_TURN):
                size = sock.recv_into(_NOWHERE, len(_NOWHERE), socket.MSG_TRUNC)
                left.size += size
                if not size or left.size > _BYTES:
                    self._drop(sock)
                    return
        except BlockingIOError:
            pass
        except OSError:
            self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        left = self._left.pop(sock)
        left.end.cancel()
        left.loop.remove_reader(sock)
        sock.close()


class _Left:
    """One of them: how much was thrown away, and its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, end: asyncio.TimerHandle) -> None:
        self.loop = loop
        self.end = end
        self.size = 0
