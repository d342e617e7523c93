"""A server on a port that breaks TLS connections in every way that they break in.

What a connection meets is the name of one of the `BROKEN` or of the `WRONG`, or `GOOD`: then each
request is answered with an empty message of protobuf.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from fedstate.certificates.authority import (
    Authority,
    authority_certificate,
    ensure_authority,
    ensure_server_certificate,
)

HOST = "127.0.0.1"
GOOD = "a server that is well"
_PAST = timedelta(minutes=-10)
_ALERT = b"\x15\x03\x03\x00\x02\x02"
_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)

Behaviour = Callable[["TlsServer", socket.socket], None]


class TlsServer:
    """The server: what its next connections meet is in ``plan``, the last of them for ever."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plan = [GOOD]
        self.met: list[str] = []
        self._listener = socket.create_server((HOST, 0))
        self.address = f"{HOST}:{self._listener.getsockname()[1]}"
        self.authority_file = directory / "good" / "ca.crt"
        self._make_certificates()

    def context(self, name: str = "good") -> ssl.SSLContext:
        """Return the context of one of the server's certificates."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(
            self.directory / name / "server.crt", self.directory / name / "server.key"
        )
        return context

    def trusted(self) -> Path:
        """Return the file of the authority that a client has for what comes next."""
        expired = "an authority that has expired"
        return self.directory / expired / "ca.crt" if self.plan[0] == expired else self._good()

    def serve(self) -> None:
        """Meet connections until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            kind = self.plan[0] if len(self.plan) == 1 else self.plan.pop(0)
            self.met.append(kind)
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                (BROKEN | WRONG | {GOOD: _good})[kind](self, connection)

    def close(self) -> None:
        """Meet no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _good(self) -> Path:
        return self.authority_file

    def _make_certificates(self) -> None:
        good = ensure_authority(self.directory / "authority")
        other = ensure_authority(self.directory / "other authority")
        old = authority_certificate(other.key, _PAST)
        for name, authority, hosts, lifetime in (
            ("good", good, [HOST], timedelta(days=60)),
            ("another authority", other, [HOST], timedelta(days=60)),
            ("a certificate that has expired", good, [HOST], _PAST),
            ("another host name", good, ["elsewhere.example"], timedelta(days=60)),
            ("another address", good, ["127.0.0.2"], timedelta(days=60)),
            (
                "an authority that has expired",
                Authority(old, other.key, (old,)),
                [HOST],
                timedelta(days=60),
            ),
        ):
            ensure_server_certificate(self.directory / name, authority, hosts, lifetime=lifetime)


@contextmanager
def tls_server(directory: Path) -> Iterator[TlsServer]:
    """Serve while the block runs."""
    server = TlsServer(directory)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


def _good(server: TlsServer, connection: socket.socket) -> None:
    with server.context().wrap_socket(connection, server_side=True) as secured:
        secured.recv(2**16)
        secured.sendall(_ANSWER)
        secured.unwrap()


def _with(name: str) -> Behaviour:
    def behave(server: TlsServer, connection: socket.socket) -> None:
        with server.context(name).wrap_socket(connection, server_side=True) as secured:
            secured.recv(2**16)

    return behave


def _says(content: bytes) -> Behaviour:
    def behave(_: TlsServer, connection: socket.socket) -> None:
        connection.recv(2**16)
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(2**16):
            pass

    return behave


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _resets_at_once(_: TlsServer, connection: socket.socket) -> None:
    connection.recv(16)
    _reset(connection)


def _asked(server: TlsServer, connection: socket.socket) -> ssl.SSLSocket:
    """Shake hands and take in a request; what follows goes past TLS."""
    secured = server.context().wrap_socket(
        connection.dup(), server_side=True, suppress_ragged_eofs=True
    )
    secured.recv(2**16)
    return secured


def _ends_within(server: TlsServer, connection: socket.socket) -> None:
    _asked(server, connection).detach()
    connection.shutdown(socket.SHUT_RDWR)


def _resets_within(server: TlsServer, connection: socket.socket) -> None:
    secured = _asked(server, connection)
    _reset(connection)
    _reset(secured)


def _damages(server: TlsServer, connection: socket.socket) -> None:
    _asked(server, connection).detach()
    connection.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
    connection.shutdown(socket.SHUT_WR)


def _wants_a_certificate(server: TlsServer, connection: socket.socket) -> None:
    context = server.context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(server.authority_file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.wrap_socket(connection, server_side=True)


# A connection that breaks: the server may be well a moment later.
BROKEN: dict[str, Behaviour] = {
    "an end before the handshake": lambda _, connection: connection.close(),
    "a reset in the handshake": _resets_at_once,
    "an end in the middle of the server's hello": _says(b"\x16\x03\x03\x00\x7a\x02\x00"),
    "a server with a trouble of its own": _says(_ALERT + b"\x50"),
    "an end without a goodbye": _ends_within,
    "a reset in place of the answer": _resets_within,
    "damaged data": _damages,
}
# Of these, the ones that break before a request has left.
IN_THE_HANDSHAKE = list(BROKEN)[:4]
# What stays wrong until somebody changes it, and what the sentence about it says.
WRONG: dict[str, Behaviour] = {
    "another authority": _with("another authority"),
    "a certificate that has expired": _with("a certificate that has expired"),
    "an authority that has expired": _with("an authority that has expired"),
    "another host name": _with("another host name"),
    "another address": _with("another address"),
    "no TLS": _says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "another version of TLS": _says(_ALERT + b"\x46"),
    "no common cipher": _says(_ALERT + b"\x28"),
    "a certificate that the client lacks": _wants_a_certificate,
}
SENTENCES = {
    "another authority": "is not signed by an authority that is trusted here",
    "a certificate that has expired": "has expired: whoever operates it makes another",
    "an authority that has expired": "has expired: whoever operates it makes another",
    "another host name": "is for other hosts",
    "another address": "is for other hosts",
    "no TLS": "which does not speak it",
    "another version of TLS": "No TLS connection to",
    "no common cipher": "No TLS connection to",
    "a certificate that the client lacks": "No TLS connection to",
}
