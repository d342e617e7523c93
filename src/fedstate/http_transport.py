"""HTTP for httpx by Python's own `http.client`: what carries large bodies.

httpx reads 64 KiB at a time, of which TLS hands out 16, and passes each through a parser in
Python. Here the parser sees the headers alone, and a body is read in large portions.
"""

import contextlib
import http.client
import select
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from fedstate.unix_sockets import connect

# Shorter than servers keep a connection.
IDLE_SECONDS = 5.0
_PORTION_BYTES = 1024 * 1024
# What may go out together with the headers, so that the other end wakes once.
_TOGETHER_BYTES = 64 * 1024

# Connects to the server of a URL, in so many seconds.
Connect = Callable[[httpx.URL, float | None], socket.socket]
_Origin = tuple[str, bytes, int | None]


class HttpTransport(httpx.BaseTransport):
    """Carries requests; safe to use from every thread.

    Parameters
    ----------
    connect : callable
        Connects to a server.
    idle_seconds : float
        For how long a connection that nobody uses is kept.
    """

    def __init__(self, connect: Connect, idle_seconds: float = IDLE_SECONDS) -> None:
        self._connect = connect
        self._idle_seconds = idle_seconds
        self._idle: defaultdict[_Origin, list[ServerConnection]] = defaultdict(list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return the response as soon as its headers are there."""
        seconds = request.extensions.get("timeout", {})
        connection = self._connection(request, seconds.get("connect"))
        try:
            with _errors(request, httpx.WriteTimeout, httpx.WriteError):
                connection.socket.settimeout(seconds.get("write"))
                # A server that refuses a request answers before it has taken all of it.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
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
        for connections in list(self._idle.values()):
            while connections:
                connections.pop().close()

    def take_back(self, connection: "ServerConnection", request: httpx.Request) -> None:
        """Keep a connection on which a response was read to its end."""
        now = time.monotonic()
        connection.until = now + self._idle_seconds
        idle = self._idle[_origin(request)]
        idle.append(connection)
        # Of those that have been idle for too long none stays open for long.
        with contextlib.suppress(IndexError):
            if idle[0].until < now:
                idle.pop(0).close()

    def _connection(self, request: httpx.Request, seconds: float | None) -> "ServerConnection":
        while True:
            try:
                connection = self._idle[_origin(request)].pop()
            except IndexError:
                break
            if connection.usable():
                return connection
            connection.close()
        with _errors(request, httpx.ConnectTimeout, httpx.ConnectError):
            return ServerConnection(self._connect(request.url, seconds))


def to_socket(path: Path) -> HttpTransport:
    """Return what carries requests to the server on a Unix socket."""
    return HttpTransport(lambda _, seconds: connect(path, seconds))


def to_address(
    context: ssl.SSLContext | None, idle_seconds: float = IDLE_SECONDS
) -> HttpTransport:
    """Return what carries requests to the address in their URL.

    Parameters
    ----------
    context : SSLContext, optional
        What connections of ``https`` are made with; without it, there can be none.
    idle_seconds : float
        For how long a connection that nobody uses is kept.
    """
    if context is not None:
        context.set_alpn_protocols(["http/1.1"])
    return HttpTransport(lambda url, seconds: _to_address(url, seconds, context), idle_seconds)


def _to_address(
    url: httpx.URL, seconds: float | None, context: ssl.SSLContext | None
) -> socket.socket:
    host = url.raw_host.decode("ascii").strip("[]")
    port = url.port or (443 if url.scheme == "https" else 80)
    made = socket.create_connection((host, port), seconds)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if url.scheme != "https":
            return made
        if context is None:
            raise ssl.SSLError("this client speaks no TLS")
        return context.wrap_socket(made, server_hostname=host)
    except BaseException:
        made.close()
        raise


def _origin(request: httpx.Request) -> _Origin:
    url = request.url
    return url.scheme, url.raw_host, url.port


class ServerConnection:
    """A connection, and until when it is kept while it is idle."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.until = 0.0

    def usable(self) -> bool:
        """Whether the server has not closed it, nor is about to."""
        if time.monotonic() > self.until:
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
        transport: HttpTransport,
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
            # What comes in chunks may be a stream, of which each is waited for.
            read = self._answer.read1 if self._answer.chunked else self._answer.read
            while chunk := read(_PORTION_BYTES):
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
            self._transport.take_back(connection, self._request)
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
