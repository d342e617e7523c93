"""Connections of an attacker, who writes what bytes he likes and reads what comes back."""

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
# How long an answer may take on a machine that is busy.
SECONDS = 20.0
CLOSED = "closed"
SILENT = "silent"
Answer = int | str
Headers = Mapping[str, str] | Sequence[tuple[str, str]]


class Wire:
    """A connection to a port on this machine.

    Parameters
    ----------
    port : int
        The port.
    authority : Path or None
        The authority that signs the server's certificate; without it, there is no TLS.
    source : str
        The address that it comes from, one of 127.0.0.0/8.
    """

    def __init__(self, port: int, authority: Path | None, source: str = HOST) -> None:
        plain = socket.create_connection((HOST, port), SECONDS, source_address=(source, 0))
        self._socket = plain
        self.headers: dict[str, str] = {}
        self.body = b""
        if authority is not None:
            context = ssl.create_default_context(cafile=str(authority))
            try:
                self._socket = context.wrap_socket(plain, server_hostname=HOST)
            except BaseException:
                plain.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, as somebody who has gone."""
        self._socket.close()

    def send(self, data: bytes) -> int:
        """Write bytes; return how many were taken before the other side closed."""
        taken = 0
        with contextlib.suppress(OSError):
            for start in range(0, len(data), 65536):
                piece = data[start : start + 65536]
                self._socket.sendall(piece)
                taken += len(piece)
        return taken

    def patience(self, seconds: float) -> None:
        """Give up on what takes longer than this."""
        self._socket.settimeout(seconds)

    def readable(self, seconds: float) -> bool:
        """Wait until something has come, or the other side has closed; return whether it has."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        return bool(select.select([self._socket], [], [], seconds)[0])

    def answer(self, seconds: float = SECONDS, method: str = "POST") -> Answer:
        """Read one answer; return its status, CLOSED without one, or SILENT if none comes."""
        self._socket.settimeout(seconds)
        response = HTTPResponse(self._socket, method=method)
        try:
            response.begin()
            self.headers = {name.lower(): value for name, value in response.getheaders()}
            self.body = response.read()
        except TimeoutError:
            return SILENT
        except (OSError, HTTPException):
            return CLOSED
        finally:
            response.close()
        return response.status

    def all_of_it(self, seconds: float = SECONDS) -> bytes:
        """Read until the other side closes, or nothing has come for so many seconds."""
        self._socket.settimeout(seconds)
        data = b""
        with contextlib.suppress(OSError):
            while more := self._socket.recv(65536):
                data += more
        return data

    def closed_within(self, seconds: float) -> bool:
        """Read on; return whether the other side has closed by then."""
        until = time.monotonic() + seconds
        try:
            while (left := until - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if not self._socket.recv(65536):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True
        return False


def head(method: str, path: str, headers: Headers = (), version: str = "1.1") -> bytes:
    """Return the head of a request."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines = [f"{method} {path} HTTP/{version}", f"Host: {HOST}"]
    lines += [f"{name}: {value}" for name, value in pairs]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def statuses_in(data: bytes) -> list[int]:
    """Return the status of each answer that somebody has sent, by their first lines."""
    lines = data.replace(b"HTTP/1.", b"\nHTTP/1.").splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith(b"HTTP/1.")]


_TLS_1_2 = 0x0303
# Suites that every version may have, and one for TLS 1.2 and a key on an elliptic curve.
SUITES = (0xC02B, 0xC009, 0xC00A, 0xC013, 0xC014, 0x002F, 0x0035, 0x000A)


def client_hello(version: int = _TLS_1_2, suites: tuple[int, ...] = SUITES) -> bytes:
    """Return the first message of a client that speaks this version of TLS at the most."""
    groups = struct.pack("!HHHHHH", 10, 8, 6, 23, 24, 25)
    formats = struct.pack("!HHBB", 11, 2, 1, 0)
    algorithms = struct.pack("!HHHHHH", 13, 8, 6, 0x0403, 0x0503, 0x0203)
    extensions = groups + formats + algorithms
    body = struct.pack("!H", version) + bytes(range(32)) + b"\0"
    body += struct.pack(f"!H{len(suites)}H", 2 * len(suites), *suites) + b"\x01\0"
    body += struct.pack("!H", len(extensions)) + extensions
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return b"\x16" + struct.pack("!HH", min(version, 0x0301), len(message)) + message


def first_record(data: bytes) -> str:
    """Return what a TLS server's first record is: "hello", "alert", or CLOSED."""
    return {b"\x16": "hello", b"\x15": "alert", b"": CLOSED}.get(data[:1], repr(data[:20]))
