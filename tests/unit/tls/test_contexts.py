"""Contexts whose files change: what new connections are made with, and what is said."""

import errno
import logging
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.errors import CertificateError
from fedstate.tls.contexts import (
    RETRY_SECONDS,
    SETTLE_SECONDS,
    ReloadedContext,
    client_context,
    server_context,
)

HOST = "localhost"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two servers of two authorities."""
    made = []
    for name in ("first", "second"):
        directory = tmp_path_factory.mktemp(name)
        ensure_server_certificate(directory, ensure_authority(directory / "authority"), [HOST])
        made.append(directory)
    return made


@pytest.fixture
def here(tmp_path: Path, pairs: list[Path]) -> Path:
    put(pairs[0], tmp_path)
    return tmp_path


def put(source: Path, target: Path, *names: str, into: str = "") -> None:
    """Replace files as `fedstate certificates` does: each in one moment."""
    for name in names or ("server.key", "server.crt", "ca.crt"):
        shutil.copy(source / name, target / f"{name}.partial")
        (target / f"{name}.partial").replace(target / (into or name))


def connect(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes:
    """Let both shake hands in memory; return the server's certificate as the client saw it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = client.wrap_bio(to_client, to_server, server_hostname=HOST)
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    finished: set[ssl.SSLObject] = set()
    while len(finished) < 2:
        for side in (client_side, server_side):
            try:
                side.do_handshake()
                finished.add(side)
            except ssl.SSLWantReadError:
                continue
    seen = client_side.getpeercert(binary_form=True)
    assert seen is not None
    return seen


def shown_by(server: ReloadedContext) -> bytes:
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    return connect(server, anybody)


def shown(directory: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert((directory / "server.crt").read_text())


def server(directory: Path, clock: Clock | None = None) -> ReloadedContext:
    files = (directory / "server.crt", directory / "server.key", directory / "ca.crt")
    return server_context(*files, clock=clock or Clock())


def test_a_new_pair_is_shown_to_new_connections(
    here: Path, pairs: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    context = server(here)
    assert shown_by(context) == shown(pairs[0])
    put(pairs[1], here)
    assert shown_by(context) == shown_by(context) == shown(pairs[1])
    (record,) = caplog.records
    assert "is used for new connections" in record.getMessage()


# What is in the place of the certificate and of the key, from which of two pairs.
HALF = {
    "half of the certificate": ("certificate", lambda content: content[: len(content) // 2]),
    "an empty certificate": ("certificate", lambda _: b""),
    "a certificate that is gone": ("certificate", None),
    "half of the key": ("key", lambda content: content[: len(content) // 2]),
    "an empty key": ("key", lambda _: b""),
    "a key that is gone": ("key", None),
    "the key of another certificate": ("key", lambda content: content),
    "a certificate of another key": ("certificate", lambda content: content),
    "no text": ("certificate", lambda _: b"\xff\x00"),
}


@pytest.mark.parametrize("kind", HALF)
def test_what_does_not_fit_together_changes_nothing_and_is_said_once(
    here: Path, pairs: list[Path], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    clock = Clock()
    context = server(here, clock)
    which, change = HALF[kind]
    name = "server.crt" if which == "certificate" else "server.key"
    if change is None:
        (here / name).unlink()
    else:
        (here / name).write_bytes(change((pairs[1] / name).read_bytes()))
    assert shown_by(context) == shown(pairs[0])
    assert not caplog.records, "it may be in the middle of being replaced"
    for _ in range(3):
        clock.now += SETTLE_SECONDS
        assert shown_by(context) == shown(pairs[0])
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert " cannot be used: " in record.getMessage()
    assert record.getMessage().endswith("New connections are made as before.")
    put(pairs[1], here)
    assert shown_by(context) == shown(pairs[1])
    put(pairs[0], here)
    assert shown_by(context) == shown(pairs[0])
    assert len(caplog.records) == 3


def test_files_that_could_not_be_read_are_tried_again(
    here: Path,
    pairs: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, tried = Clock(), []
    context = server(here, clock)
    put(pairs[1], here)

    def fill(*_: object) -> None:
        tried.append(clock.now)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(context, "_fill", fill)
        for _ in range(10):
            assert shown_by(context) == shown(pairs[0])
            clock.now += SETTLE_SECONDS
    assert len(tried) < 5
    clock.now += RETRY_SECONDS
    assert shown_by(context) == shown(pairs[1])
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_pair_that_is_replaced_at_once_is_not_warned_of(
    here: Path, pairs: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    context = server(here, clock)
    put(pairs[1], here, "server.key")
    for _ in range(3):
        assert shown_by(context) == shown(pairs[0])
        clock.now += SETTLE_SECONDS / 4
    put(pairs[1], here, "server.crt")
    clock.now += SETTLE_SECONDS
    assert shown_by(context) == shown(pairs[1])
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_a_link_that_leads_elsewhere_is_a_changed_file(tmp_path: Path, pairs: list[Path]) -> None:
    (tmp_path / "now").symlink_to(pairs[0])
    context = server(tmp_path / "now")
    assert shown_by(context) == shown(pairs[0])
    (tmp_path / "next").symlink_to(pairs[1])
    (tmp_path / "next").replace(tmp_path / "now")
    assert shown_by(context) == shown(pairs[1])


def test_a_client_trusts_what_its_file_holds_now(here: Path, pairs: list[Path]) -> None:
    first, second = (server(each) for each in pairs)
    client = client_context(here / "ca.crt")
    connect(first, client)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(second, client)
    both = b"".join((each / "ca.crt").read_bytes() for each in pairs)
    (here / "ca.crt").write_bytes(both)
    connect(first, client)
    connect(second, client)
    put(pairs[1], here, "ca.crt")
    connect(second, client)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(first, client)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nMII", b"\xff"])
def test_a_client_keeps_whom_it_trusts_while_the_file_holds_nobody(
    here: Path, pairs: list[Path], content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    client = client_context(here / "ca.crt", clock=clock)
    (here / "ca.crt").write_bytes(content)
    connect(server(pairs[0]), client)
    clock.now += SETTLE_SECONDS
    connect(server(pairs[0]), client)
    (record,) = caplog.records
    assert f"{here / 'ca.crt'} cannot be used" in record.getMessage()


def test_what_cannot_be_used_at_the_start_is_an_error(tmp_path: Path, here: Path) -> None:
    with pytest.raises(CertificateError, match=r"none\.crt cannot be used: No such file"):
        client_context(tmp_path / "none.crt")
    (here / "server.key").write_text("nonsense")
    with pytest.raises(CertificateError, match=r"server\.key cannot be used: "):
        server(here)


def test_a_key_with_a_password_is_an_error_and_nobody_is_asked(here: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    from fedstate.certificates.authority import load_key

    protected = load_key(here / "server.key").private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    (here / "server.key").write_bytes(protected)
    with pytest.raises(CertificateError, match="protected by a password"):
        server(here)


def test_a_server_warns_when_it_starts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = ensure_authority(tmp_path / "authority")
    ensure_server_certificate(tmp_path, authority, [HOST], lifetime=timedelta(days=3))
    context = server(tmp_path)
    shown_by(context)
    (record,) = caplog.records
    assert "server.crt expires on " in record.getMessage()


@pytest.mark.parametrize(("warns", "count"), [(True, 1), (False, 0)])
def test_a_client_warns_of_an_authority_if_it_is_told_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, warns: bool, count: int
) -> None:
    ensure_authority(tmp_path, lifetime=timedelta(days=3))
    client_context(tmp_path / "ca.crt", warns=warns)
    assert len(caplog.records) == count


@pytest.fixture
def port(here: Path) -> Iterator[int]:
    """A server of sockets, which shakes hands and ends."""
    context = server(here)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, context.wrap_socket(connection, server_side=True) as secured:
                    secured.sendall((secured.selected_alpn_protocol() or "").encode())

        thread = threading.Thread(target=serve)
        thread.start()
        context.set_alpn_protocols(["b", "a"])
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_sockets_and_protocols_are_handed_on_after_a_change_too(
    here: Path, pairs: list[Path], port: int
) -> None:
    client = client_context(here / "ca.crt")
    client.set_alpn_protocols(["a"])
    for source in (*pairs, pairs[0]):
        put(source, here)
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            client.wrap_socket(plain, server_hostname=HOST) as secured,
        ):
            assert secured.recv(10) == b"a"
            assert secured.getpeercert(binary_form=True) == shown(source)


def test_a_file_that_is_written_again_with_the_same_time_is_seen_by_its_size(
    here: Path, pairs: list[Path]
) -> None:
    context = client_context(here / "ca.crt")
    before = (here / "ca.crt").stat()
    both = b"".join((each / "ca.crt").read_bytes() for each in pairs)
    (here / "ca.crt").write_bytes(both)
    os.utime(here / "ca.crt", ns=(before.st_atime_ns, before.st_mtime_ns))
    connect(server(pairs[1]), context)
