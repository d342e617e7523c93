"""HTTP over a Unix socket, for httpx: what carries large bodies between processes of one machine.

httpx can connect to such a socket itself, but it reads 64 KiB at a time and hands each through a
parser in Python. Here a body is copied by the kernel, and by nobody else.
"""

import contextlib
import http.client
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from fedstate.unix_sockets import connect

# Shorter than our servers keep a connection.
_IDLE_SECONDS = 5.0
_PORTION_BYTES = 1024 * 1024
# What may go out together with the headers, so that the other end wakes once.
_TOGETHER_BYTES = 64 * 1024


class SocketTransport(httpx.BaseTransport):
    """Carries requests to the server on a Unix socket; safe to use from every thread.

    Parameters
    ----------
    path : Path
        The socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[ServerConnection] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return the response as soon as its headers are there."""
        seconds = request.extensions.get("timeout", {})
        connection = self._connection(request, seconds.get("connect"))
        try:
            with _errors(request, httpx.WriteTimeout, httpx.WriteError):
                connection.socket.settimeout(seconds.get("write"))
                # A server that refuses a request answers before it has taken all of it.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    _send(connection.socket, request)
            with _errors(request, httpx.ReadTimeout, httpx.ReadError):
                connection.socket.settimeout(seconds.get("read"))
                answer = http.client.HTTPResponse(connection.socket, method=request.method)
                answer.begin()
                if answer.length is None and not answer.chunked:
                    # Python takes the end of a connection for that of headers, too.
                    raise http.client.HTTPException("the answer does not say how long it is")
        except BaseException:
            connection.close()
            raise
        return httpx.Response(
            answer.status,
            headers=answer.getheaders(),
            stream=_Body(self, connection, answer, request),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": answer.reason.encode()},
        )

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def take_back(self, connection: "ServerConnection") -> None:
        """Keep a connection on which a response was read to its end."""
        connection.since = time.monotonic()
        self._idle.append(connection)

    def _connection(self, request: httpx.Request, seconds: float | None) -> "ServerConnection":
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if connection.usable():
                return connection
            connection.close()
        with _errors(request, httpx.ConnectTimeout, httpx.ConnectError):
            return ServerConnection(connect(self._path, seconds))


class ServerConnection:
    """A connection, and since when it is idle."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.since = 0.0

    def usable(self) -> bool:
        """Whether the server has not closed it, nor is about to."""
        if time.monotonic() - self.since > _IDLE_SECONDS:
            return False
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return not poll.poll(0)  # the server has nothing to say but that it closes

    def close(self) -> None:
        """Close it."""
        self.socket.close()


class _Body(httpx.SyncByteStream):
    """The body of a response, which is read while the connection is held."""

    def __init__(
        self,
        transport: SocketTransport,
        connection: ServerConnection,
        answer: http.client.HTTPResponse,
        request: httpx.Request,
    ) -> None:
        self._transport = transport
        self._connection: ServerConnection | None = connection
        self._answer = answer
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        if self._connection is None:
            return
        seconds = self._request.extensions.get("timeout", {})
        with _errors(self._request, httpx.ReadTimeout, httpx.ReadError):
            self._connection.socket.settimeout(seconds.get("read"))
            while chunk := self._answer.read(_PORTION_BYTES):
                yield chunk
            if self._answer.length:  # which `read` with a size takes for the end
                raise http.client.IncompleteRead(b"", self._answer.length)
        self._release()

    def close(self) -> None:
        """Let the connection go; one of whose response something is unread is closed."""
        self._release()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        whole = self._answer.isclosed() and not self._answer.length
        self._answer.close()
        if whole and not self._answer.will_close:
            self._transport.take_back(connection)
        else:
            connection.close()


def _send(sock: socket.socket, request: httpx.Request) -> None:
    """Send a request; its first piece goes out with the headers."""
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += [b"%s: %s" % (name, value) for name, value in request.headers.raw]
    if any(b"\n" in line or b"\r" in line for line in lines):
        raise httpx.LocalProtocolError("a header has more than one line", request=request)
    waiting = b"\r\n".join([*lines, b"", b""])
    length = "content-length" in request.headers
    for piece in request.stream:  # type: ignore[union-attr]  # a client that does not wait has no other
        if not piece:
            continue
        whole = piece if length else b"%x\r\n%s\r\n" % (len(piece), piece)
        if len(waiting) + len(whole) <= _TOGETHER_BYTES:
            waiting += whole
            continue
        _send_all(sock, waiting)
        _send_all(sock, whole)
        waiting = b""
    if not length and "transfer-encoding" in request.headers:
        waiting += b"0\r\n\r\n"
    _send_all(sock, waiting)


def _send_all(sock: socket.socket, content: bytes | memoryview) -> None:
    """Send all of it, in portions: each of them may take as long as the timeout says."""
    view = memoryview(content)
    for at in range(0, view.nbytes, _PORTION_BYTES):
        sock.sendall(view[at : at + _PORTION_BYTES])


@contextlib.contextmanager
def _errors(request: httpx.Request, timeout: Any, failure: Any) -> Iterator[None]:
    """Raise what goes wrong as httpx does."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error), request=request) from error
    except http.client.HTTPException as error:  # of which some are errors of connections
        raise httpx.RemoteProtocolError(str(error), request=request) from error
    except OSError as error:
        raise failure(str(error), request=request) from error
