"""HTTP on one connection: uvicorn's, with bounds on the headers, and noted on the connection."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fedstate.serving.connections import Connection, Connections
from fedstate.serving.limits import Limits

# The key in a request's state under which an application finds the connection.
STATE_KEY = "fedstate_connection"

# How many requests may wait on a connection for the one before them. No client of ours sends one
# before it has the answer to the last; thousands fit into one read, and each takes kilobytes.
_PIPELINED = 16

# Longer than Flower's clients and ours keep an idle connection, which is 5 s: a request that is
# sent at the moment at which its connection is closed would fail. `head_seconds` is longer still.
KEEP_ALIVE_SECONDS = 8
# The answer has left by then: it is small, and written at once.
_HANG_UP_SECONDS = 0.01
_TOO_LARGE = b"The headers of the request are too large."
_431 = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_TOO_LARGE), _TOO_LARGE)
)


class BoundedHttp(HttpToolsProtocol):
    """The HTTP protocol of a connection that `Connections` has accepted.

    The parser is httptools': it takes large bodies at three times the speed of h11, but has no
    bound on the size of headers and of a chunked body's trailers.
    """

    connection: Connection
    limits: Limits
    _unparsed = 0
    _hung_up = False

    def attach(self, connection: Connection) -> None:
        """Take the connection; called before `connection_made`."""
        self.connection = connection
        self.limits = connection.limits
        # Each request's scope has a copy.
        self.app_state = {**self.app_state, STATE_KEY: connection}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        self.connection.closed_by(transport.abort)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.connection.gone()
        super().connection_lost(exc)

    def abandon(self) -> None:
        """End: uvloop has closed the transport while the connection was being opened."""
        if self.transport is None:
            self.connection.gone()
        else:
            # A request may be there already, whose answer nobody can be sent.
            self.connection_lost(None)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived; what is neither a body nor complete headers is bounded."""
        if self._hung_up:
            return
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > self.limits.head_bytes and not self._is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_431)
                self.hang_up()
            else:
                self.transport.abort()

    def on_headers_complete(self) -> None:
        """Start a request; its body is left in the socket until the application asks for it."""
        if self._is_closing():
            return
        if len(self.pipeline) >= _PIPELINED:
            self.transport.abort()
            return
        self._unparsed = 0
        self.connection.begin()
        super().on_headers_complete()
        self.cycle.transport = _Answering(self, self.cycle)  # type: ignore[assignment]
        self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._unparsed = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Go on with the next request, unless there is more of a body that nobody wants."""
        # The cycle may be that of the next request: a client that has all of an answer sends it
        # while the application has still to say that this was all.
        unread = self.cycle.response_complete and self.cycle.more_body
        self.connection.end()
        if unread:
            self.hang_up()
        if self._hung_up:
            self.server_state.total_requests += 1
        else:
            super().on_response_complete()

    def hang_up(self) -> None:
        """End the connection, of which something is unread, after what was written has left.

        An orderly end of TLS would take in and decrypt what the client goes on sending.
        """
        if not self._is_closing():
            self._hung_up = True
            self.flow.pause_reading()
            self.loop.call_later(_HANG_UP_SECONDS, self._leave)

    def _leave(self) -> None:
        sock = self.transport.get_extra_info("socket")
        if not self.transport.is_closing() and sock is not None:
            self.connection.linger(sock.fileno())
        self.transport.abort()

    def _is_closing(self) -> bool:
        return self._hung_up or bool(self.transport.is_closing())


class _Answering:
    """The transport as the answer to one request has it, which is closed once that is sent."""

    def __init__(self, protocol: BoundedHttp, cycle: Any) -> None:
        self._protocol = protocol
        self._cycle = cycle

    def write(self, data: bytes) -> None:
        self._protocol.transport.write(data)

    def close(self) -> None:
        if self._cycle.response_complete and self._cycle.more_body:
            self._protocol.hang_up()
        else:
            self._protocol.transport.close()


def connection_of(scope: Any) -> Connection | None:
    """Return the connection that a request came over; None if nobody has accepted one."""
    return cast("Connection | None", scope.get("state", {}).get(STATE_KEY))


def bounded_serving(limits: Limits) -> dict[str, Any]:
    """Return the options of a `Server` whose connections are bounded.

    The parser and the event loop are named: with whatever else is installed, the limits and the
    speed would be others.
    """
    return {
        "accept": Connections(limits).accept,
        "http": BoundedHttp,
        "loop": "uvloop",
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "ws": "none",
    }
