"""Attempts with TLS: older versions, no TLS at all, and servers that are not the right ones."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx

from fedstate.certificates.authority import (
    ensure_authority,
    ensure_server_certificate,
    load_authority,
    make_authority,
)
from fedstate.connection import Connection
from fedstate.errors import FedstateError
from fedstate.flower.clients import FleetApi
from fedstate.flower.control import control
from fedstate.flower.own_key import OwnKey
from tests.stack.doors.door import Door
from tests.stack.doors.ground import Ground
from tests.stack.doors.registry import Outcome, attempt
from tests.stack.doors.wire import CLOSED, HOST, SUITES, client_hello, first_record, head

_QUIET = 3.0


@attempt("alert", CLOSED)
def old_tls(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Speak SSL 3, TLS 1.0 and 1.1, with suites that these have in common with today's."""
    assert _greeted(door, client_hello()) == "hello", "this client is not understood at all"
    for version in (0x0300, 0x0301, 0x0302):
        outcome.of(hex(version), _greeted(door, client_hello(version)))


@attempt("alert", CLOSED)
def weak_suites(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Offer no encryption, export grades, RC4, or no authentication alone."""
    for suite in (0x0000, 0x0001, 0x0003, 0x0005, 0x0018, 0xC006, 0xC007, 0xC018):
        outcome.of(hex(suite), _greeted(door, client_hello(suites=(suite,))))
    assert 0xC02B in SUITES


@attempt("alert", CLOSED)
def garbage_for_a_handshake(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Begin with bytes that are no handshake, or one that is megabytes long."""
    hello = client_hello()
    for what, data in (
        ("zeros", bytes(1000)),
        ("a cut greeting", hello[:40] + b"\xff" * 200),
        ("a long record", b"\x16\x03\x01\xff\xff" + bytes(65535)),
        ("a long message", b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16380) * 20),
        ("ssh", b"SSH-2.0-OpenSSH_9.6\r\n"),
    ):
        outcome.of(what, _greeted(door, data))


def _greeted(door: Door, data: bytes) -> str:
    with door.plain() as wire:
        wire.send(data)
        if not wire.readable(_QUIET):
            return "silent"
        return first_record(wire.all_of_it(0.3))


@attempt("alert", CLOSED)
def plain_http(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Speak HTTP without TLS: nothing of it may be answered."""
    for path in ("/health", door.routes[0].path):
        with door.plain() as wire:
            wire.send(head("GET", path))
            data = wire.all_of_it(_QUIET)
            outcome.expect(f"{path}: {data[:40]!r}", not data.startswith(b"HTTP/"))


class _Impostor:
    """Listens with a certificate, and notes what is said to it inside of TLS."""

    def __init__(self, certificates: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
        self._context = context
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard = b""
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(2.0)
            with suppress(OSError), plain, self._context.wrap_socket(plain, True) as encrypted:
                self.heard += encrypted.recv(65536)

    def close(self) -> None:
        """Listen no longer."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def _impostor(certificates: Path) -> Iterator[_Impostor]:
    impostor = _Impostor(certificates)
    try:
        yield impostor
    finally:
        impostor.close()


def _told(ground: Ground, port: int, authority: Path) -> Iterator[tuple[str, bool]]:
    """Let our clients connect to a port; yield who, and whether it was refused."""
    address = f"{HOST}:{port}"
    try:
        with control(Connection("impostor", address, authority)) as link:
            link.nodes()
        yield "an operator", False
    except FedstateError:
        yield "an operator", True
    try:
        own_key = OwnKey((ground.rogue.private, ground.rogue.private.public_key()))
        with FleetApi(
            address, own_key, insecure=False, root_certificates=authority, retry_seconds=0.01
        ) as api:
            api.activate()
        yield "a node", False
    except (FedstateError, httpx.HTTPError, OSError):
        yield "a node", True


@attempt(doors=("control",))
def wrong_authority(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Stand in for the SuperLink with a certificate of another authority's."""
    directory = ground.directory / "wrong"
    ensure_server_certificate(directory, ensure_authority(directory / "authority"), [HOST])
    with _impostor(directory) as impostor:
        for who, refused in _told(ground, impostor.port, door.authority):
            outcome.expect(f"{who} talks to it", refused)
        outcome.expect(f"it heard {impostor.heard[:40]!r}", not impostor.heard)


@attempt(doors=("control",))
def expired_authority(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Stand in with a certificate whose authority is trusted and has expired."""
    directory = ground.directory / "expired"
    make_authority(directory / "authority", timedelta(minutes=-1))
    expired = load_authority(directory / "authority")
    ensure_server_certificate(directory, expired, [HOST])
    with _impostor(directory) as impostor:
        for who, refused in _told(ground, impostor.port, directory / "authority" / "ca.crt"):
            outcome.expect(f"{who} talks to it", refused)
        outcome.expect(f"it heard {impostor.heard[:40]!r}", not impostor.heard)


@attempt(doors=("control",))
def expired_certificate(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Stand in with the right authority's certificate, expired, or for another host."""
    authority = ensure_authority(ground.federation.directory / "authority")
    for name, hosts, lifetime in (
        ("old", [HOST], timedelta(minutes=-1)),
        ("other", ["superlink.example"], timedelta(days=1)),
    ):
        directory = ground.directory / name
        ensure_server_certificate(directory, authority, hosts, lifetime=lifetime)
        with _impostor(directory) as impostor:
            for who, refused in _told(ground, impostor.port, door.authority):
                outcome.expect(f"{who} talks to one of {hosts}, {name}", refused)
            outcome.expect(f"it heard {impostor.heard[:40]!r}", not impostor.heard)
