import ssl
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from fedstate.certificates.authority import (
    ensure_authority,
    ensure_server_certificate,
    load_certificate,
)
from fedstate.errors import CertificateError, SettingError

HOSTS = ["superlink", "127.0.0.1"]


@pytest.fixture
def authority_directory(tmp_path: Path) -> Path:
    ensure_authority(tmp_path / "authority")
    return tmp_path / "authority"


def test_a_server_certificate_verifies(authority_directory: Path, tmp_path: Path) -> None:
    ensure_server_certificate(tmp_path, ensure_authority(authority_directory), HOSTS)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    for host in HOSTS:
        handshake(client, server, host)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client, server, "elsewhere")


def test_private_keys_are_private(authority_directory: Path, tmp_path: Path) -> None:
    ensure_server_certificate(tmp_path, ensure_authority(authority_directory), HOSTS)
    for file in (authority_directory / "ca.key", tmp_path / "server.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_valid_stays(authority_directory: Path, tmp_path: Path) -> None:
    authority = ensure_authority(authority_directory)
    ensure_server_certificate(tmp_path, authority, HOSTS)
    before = (tmp_path / "server.crt").read_bytes()
    ensure_server_certificate(tmp_path, ensure_authority(authority_directory), HOSTS)
    assert (tmp_path / "server.crt").read_bytes() == before


def test_a_certificate_near_its_end_is_renewed(authority_directory: Path, tmp_path: Path) -> None:
    authority = ensure_authority(authority_directory)
    ensure_server_certificate(tmp_path, authority, HOSTS, lifetime=timedelta(days=1))
    before = (tmp_path / "server.crt").read_bytes()
    ensure_server_certificate(tmp_path, authority, HOSTS)
    assert (tmp_path / "server.crt").read_bytes() != before


def test_a_new_host_name_gets_a_new_certificate(
    authority_directory: Path, tmp_path: Path
) -> None:
    authority = ensure_authority(authority_directory)
    ensure_server_certificate(tmp_path, authority, HOSTS)
    before = (tmp_path / "server.crt").read_bytes()
    ensure_server_certificate(tmp_path, authority, [*HOSTS, "new"])
    assert (tmp_path / "server.crt").read_bytes() != before


def test_an_expired_authority_is_said_not_replaced(tmp_path: Path) -> None:
    ensure_authority(tmp_path / "new", lifetime=timedelta(days=1))
    with pytest.raises(CertificateError, match=r"ca\.crt expired on .*, remove|expired on"):
        ensure_authority(tmp_path, lifetime=timedelta(hours=-0.5))


@pytest.mark.parametrize("missing", ["ca.key", "ca.crt"])
def test_half_an_authority_is_an_error(authority_directory: Path, missing: str) -> None:
    (authority_directory / missing).unlink()
    with pytest.raises(CertificateError, match=f"{missing} is missing"):
        ensure_authority(authority_directory)


def test_a_foreign_key_is_an_error(authority_directory: Path, tmp_path: Path) -> None:
    ensure_authority(tmp_path / "other")
    (tmp_path / "other" / "ca.key").replace(authority_directory / "ca.key")
    with pytest.raises(CertificateError, match="is not the key of"):
        ensure_authority(authority_directory)


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"server\.crt is missing"):
        load_certificate(tmp_path / "server.crt")


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "server.crt").write_text("nonsense")
    with pytest.raises(CertificateError, match="is not a PEM certificate"):
        load_certificate(tmp_path / "server.crt")


def test_a_damaged_key_of_an_authority_is_said_and_stays(authority_directory: Path) -> None:
    (authority_directory / "ca.key").write_text("nonsense")
    with pytest.raises(CertificateError, match=r"ca\.key is not a PEM private key"):
        ensure_authority(authority_directory)
    assert (authority_directory / "ca.key").read_text() == "nonsense"


def test_a_damaged_server_certificate_is_said(authority_directory: Path, tmp_path: Path) -> None:
    authority = ensure_authority(authority_directory)
    ensure_server_certificate(tmp_path, authority, HOSTS)
    (tmp_path / "server.crt").write_text("nonsense")
    with pytest.raises(CertificateError, match=r"server\.crt is not a PEM certificate"):
        ensure_server_certificate(tmp_path, authority, HOSTS)


@pytest.mark.parametrize(
    "host", ["", " ", "a b", "host:8000", "https://host", "host/", "häuser.example", "a,b"]
)
def test_what_is_no_host_is_refused_before_anything_is_written(
    authority_directory: Path, tmp_path: Path, host: str
) -> None:
    with pytest.raises(SettingError, match=f"'{host}' is neither a host name nor an IP address"):
        ensure_server_certificate(
            tmp_path / "server", ensure_authority(authority_directory), ["superlink", host]
        )
    assert not (tmp_path / "server").exists()


def test_a_name_longer_than_a_common_name_may_be_is_a_host(
    authority_directory: Path, tmp_path: Path
) -> None:
    host = ".".join(["a" * 30] * 4)
    ensure_server_certificate(tmp_path, ensure_authority(authority_directory), [host, "::1"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    handshake(client, server, host)
    handshake(client, server, "::1")


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    """Let both sides shake hands in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = client.wrap_bio(to_client, to_server, server_hostname=host)
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    finished: set[ssl.SSLObject] = set()
    while len(finished) < 2:
        for side in (client_side, server_side):
            try:
                side.do_handshake()
                finished.add(side)
            except ssl.SSLWantReadError:
                continue
