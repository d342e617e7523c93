"""Probes of the network: who may not be reached from an app, by any way there is."""

import os
import select
import socket
from collections.abc import Iterator

from .registry import Attempts, Hints, probe

_CLOSED = "EACCES EPERM ENETUNREACH EHOSTUNREACH TimeoutError gaierror EAI ECONNREFUSED ETIMEDOUT"
_MPTCP, _FAST_OPEN = 262, 0x20000000
_SECONDS = 0.5


def _closed(hints: Hints) -> Iterator[tuple[str, tuple[str, int]]]:
    for name, address in hints.addresses.items():
        if name != "own runtime":
            for each in address.split(","):
                host, _, port = each.rpartition(":")
                yield f"{name} {each}", (host, int(port))


def _connected(address: tuple[str, int], protocol: int = 0) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as ours:
        ours.settimeout(_SECONDS)
        ours.connect(address)
        return "connected"


@probe(_CLOSED, before="root landlock")
def connect_to_the_control_api(hints: Hints, attempts: Attempts) -> None:
    """Connect to the SuperLink, whose Control API starts and stops anybody's runs, and others."""
    for name, address in _closed(hints):
        attempts.of(name, lambda address=address: _connected(address))


@probe(f"{_CLOSED} EPROTONOSUPPORT ENOPROTOOPT EINVAL", before="root landlock")
def connect_by_multipath_tcp(hints: Hints, attempts: Attempts) -> None:
    """Connect by Multipath TCP, which falls back to plain TCP where the other end has none."""
    for name, address in _closed(hints):
        attempts.of(name, lambda address=address: _connected(address, _MPTCP))


@probe(f"{_CLOSED} ENOTSUP EOPNOTSUPP EPIPE ENOTCONN", before="root landlock")
def connect_by_fast_open(hints: Hints, attempts: Attempts) -> None:
    """Connect by sending (TCP Fast Open), without a call of connect."""

    def sent(address: tuple[str, int]) -> str:
        with socket.socket() as ours:
            ours.setblocking(False)
            try:
                ours.sendto(b"\x16", _FAST_OPEN, address)
            except BlockingIOError:  # it has begun to connect
                select.select([], [ours], [], _SECONDS)
            if error := ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, os.strerror(error))
            ours.getpeername()
            return "connected"

    for name, address in _closed(hints):
        attempts.of(name, lambda address=address: sent(address))


@probe(f"{_CLOSED} EADDRNOTAVAIL", before="root landlock")
def connect_by_another_address(hints: Hints, attempts: Attempts) -> None:
    """Connect to the same ports by other names of this machine, and over IPv6."""
    for name, (host, port) in _closed(hints):
        if not host.startswith("127."):
            continue
        for other in ("127.1.2.3", "0.0.0.0"):  # noqa: S104
            attempts.of(
                f"{name} {other}", lambda other=other, port=port: _connected((other, port))
            )

        def six(host: str = host, port: int = port) -> str:
            with socket.socket(socket.AF_INET6) as ours:
                ours.settimeout(_SECONDS)
                ours.connect((f"::ffff:{host}", port))
                return "connected"

        attempts.of(f"{name} mapped", six)
    if not any(host.startswith("127.") for _, (host, _) in _closed(hints)):
        attempts.of("another network", lambda: _connected(("192.0.2.1", 8000)))


@probe("EACCES EPERM EADDRINUSE ENETUNREACH EADDRNOTAVAIL")
def listen_in_anothers_place(hints: Hints, attempts: Attempts) -> None:
    """Listen on the ports of the services, also beside them (SO_REUSEPORT)."""
    for name, address in hints.addresses.items():
        host, _, port = address.split(",")[0].rpartition(":")
        if not host.startswith("127."):
            host = "0.0.0.0"  # noqa: S104

        def listening(host: str = host, port: int = int(port)) -> str:
            with socket.socket() as ours:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                ours.bind((host, port))
                ours.listen()
                return "listens"

        if hints.mode != "containers":
            attempts.of(name, listening)
    attempts.of("a raw socket", _raw)


def _raw() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP):
        return "opened"


@probe("EACCES EPERM EAFNOSUPPORT", before="root")
def listen_to_the_wire(hints: Hints, attempts: Attempts) -> None:
    """Read and write packets as they are, past every protocol."""

    def packets() -> str:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)):
            return "opened"

    attempts.of("packets", packets)
    attempts.of("a raw socket", _raw)
