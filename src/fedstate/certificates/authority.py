"""The federation's own certificate authority and the certificates it signs.

Everything is idempotent: what exists and is valid is kept, a server certificate that is about to
expire or lacks a host name is issued again, and an authority is never replaced behind anybody's
back, since every node trusts it by its file.
"""

import contextlib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedstate.errors import CertificateError, SettingError
from fedstate.files import PRIVATE, PUBLIC, write_new

AUTHORITY_LIFETIME = timedelta(days=3650)
# The longest life that every TLS client still accepts for a server certificate.
SERVER_LIFETIME = timedelta(days=397)
RENEW_BEFORE = timedelta(days=30)
# Clocks of nodes differ; a certificate is valid from an hour before it was made.
CLOCK_TOLERANCE = timedelta(hours=1)
# In the authority's directory: its certificates that the authority before it has signed.
BRIDGES = "bridge.crt"


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its certificate, the key that signs, and what it has replaced.

    Attributes
    ----------
    certificate
        The authority's certificate.
    key
        Its key.
    trusted
        What clients are to trust: this authority, and while it takes the place of another, that
        one, too.
    bridges
        This authority as the one before it vouches for it: with these beside a server's
        certificate, a client that trusts nobody but the old one goes on.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    trusted: tuple[x509.Certificate, ...]
    bridges: tuple[x509.Certificate, ...] = ()


def ensure_authority(directory: Path, *, lifetime: timedelta = AUTHORITY_LIFETIME) -> Authority:
    """Load the authority in ``directory`` (``ca.crt``, ``ca.key``), or make it there.

    Raises
    ------
    CertificateError
        If only one of the two files is there, if one is damaged, if they do not belong
        together, or if the certificate has expired.
    """
    if not any((directory / name).exists() for name in ("ca.crt", "ca.key")):
        make_authority(directory, lifetime)
    authority = load_authority(directory)
    _check_time(authority.certificate, directory / "ca.crt")
    return authority


def load_authority(directory: Path) -> Authority:
    """Load the authority in ``directory``, which may have expired.

    Raises
    ------
    CertificateError
        As for `ensure_authority`, but for an authority that has expired.
    """
    certificate_file, key_file = directory / "ca.crt", directory / "ca.key"
    for file in (certificate_file, key_file):
        if not file.exists():
            raise CertificateError(
                f"{file} is missing while the other half of the authority is there; "
                f"restore it, or remove {directory} and have every node enrolled again."
            )
    trusted, key = load_all(certificate_file), load_key(key_file)
    own = [each for each in trusted if each.public_key() == key.public_key()]
    if not own:
        raise CertificateError(f"{key_file} is not the key of {certificate_file}.")
    bridge_file = directory / BRIDGES
    bridges = load_all(bridge_file) if bridge_file.exists() else ()
    return Authority(
        own[0],
        key,
        trusted,
        tuple(
            each
            for each in bridges
            if each.public_key() == key.public_key()
            and any(_issued_by(each, other) for other in trusted)
        ),
    )


def ensure_server_certificate(
    directory: Path,
    authority: Authority,
    hosts: Sequence[str],
    *,
    lifetime: timedelta = SERVER_LIFETIME,
    force: bool = False,
) -> bool:
    """Put ``server.crt``, ``server.key`` and the authority's ``ca.crt`` into ``directory``.

    Parameters
    ----------
    directory : Path
        One service's own directory.
    authority : Authority
        Who signs.
    hosts : sequence of str
        Every host name or IP address that clients use; all become subject alternative names.
    lifetime : timedelta
        How long a new certificate is valid.
    force : bool
        Whether to make a certificate where there is a valid one, too.

    Returns
    -------
    bool
        Whether a certificate was made.

    Raises
    ------
    SettingError
        If one of the hosts is neither a host name nor an IP address.
    CertificateError
        If the ``server.crt`` that is there is no certificate.
    """
    names = [_host(host) for host in hosts]
    trust(directory, authority)
    certificate_file, key_file = directory / "server.crt", directory / "server.key"
    if not force and certificate_file.exists() and key_file.exists():
        certificate, *chain = load_all(certificate_file)
        if _is_fit(certificate, key_file, authority, names):
            if tuple(chain) != authority.bridges:
                write_new(certificate_file, pem(certificate, *authority.bridges), PUBLIC)
            return False
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        # The names that count are the alternative ones; a common name has 64 characters at most.
        .subject_name(_name(hosts[0][:64]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectAlternativeName(names), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    # A server that runs keeps its old pair until both are there. Of one that begins in between,
    # or after a crash in between, the next call makes a pair.
    write_new(key_file, private_pem(key), PRIVATE)
    write_new(certificate_file, pem(certificate, *authority.bridges), PUBLIC)
    return True


def trust(directory: Path, authority: Authority) -> None:
    """Put the certificates that clients are to trust into ``ca.crt``, unless they are there."""
    file, content = directory / "ca.crt", pem(*authority.trusted)
    if not file.exists() or file.read_bytes() != content:
        write_new(file, content, PUBLIC)


def load_certificate(file: Path) -> x509.Certificate:
    """Read a certificate that is in its time of validity; of several, the first.

    Raises
    ------
    CertificateError
        If the file is missing, is no certificate, or is not valid now.
    """
    certificate = load_all(file)[0]
    _check_time(certificate, file)
    return certificate


def load_all(file: Path) -> tuple[x509.Certificate, ...]:
    """Read the certificates in a file, whether they are valid now or not.

    Raises
    ------
    CertificateError
        If the file is missing, or holds anything but certificates.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(file.read_bytes()))
    except FileNotFoundError:
        raise CertificateError(
            f"The certificate {file} is missing; `fedstate certificates` makes it."
        ) from None
    except ValueError:
        raise CertificateError(f"{file} is not a PEM certificate.") from None


def load_key(file: Path) -> ec.EllipticCurvePrivateKey:
    """Read a private key.

    Raises
    ------
    CertificateError
        If the file holds none of an elliptic curve, or one with a password.
    """
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError):  # no key, or one with a password
        raise CertificateError(f"{file} is not a PEM private key.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{file} is not a key of an elliptic curve.")
    return key


def make_authority(directory: Path, lifetime: timedelta = AUTHORITY_LIFETIME) -> None:
    """Make an authority in ``directory``: ``ca.crt`` and ``ca.key``, the key first."""
    key = ec.generate_private_key(ec.SECP384R1())
    write_new(directory / "ca.key", private_pem(key), PRIVATE)
    write_new(directory / "ca.crt", pem(authority_certificate(key, lifetime)), PUBLIC)


def authority_certificate(
    key: ec.EllipticCurvePrivateKey,
    lifetime: timedelta = AUTHORITY_LIFETIME,
    *,
    by: Authority | None = None,
) -> x509.Certificate:
    """Return the certificate of an authority: signed by itself, or by the one before it.

    All authorities have the same name. A bridge from one to the next is thereby not counted as
    an authority in between, of which there may be none.
    """
    name, now = _name("fedstate authority"), datetime.now(UTC)
    usage = x509.KeyUsage(
        key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + lifetime if by is None else by.certificate.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )
    if by is None:
        return builder.sign(key, hashes.SHA256())
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
    return builder.add_extension(issuer, critical=False).sign(by.key, hashes.SHA256())


def _check_time(certificate: x509.Certificate, file: Path) -> None:
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        raise CertificateError(
            f"The certificate {file} expired on {certificate.not_valid_after_utc:%Y-%m-%d}; "
            "`fedstate certificates renew` makes another, with --new-authority for an authority."
        )
    if certificate.not_valid_before_utc > now:
        raise CertificateError(
            f"The certificate {file} is valid only from {certificate.not_valid_before_utc}; "
            "check this machine's clock."
        )


def _is_fit(
    certificate: x509.Certificate,
    key_file: Path,
    authority: Authority,
    names: Sequence[x509.GeneralName],
) -> bool:
    try:
        key = load_key(key_file)
    except CertificateError:
        return False
    issued_for = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        key.public_key() == certificate.public_key()
        and certificate.issuer == authority.certificate.subject
        and certificate.not_valid_after_utc > datetime.now(UTC) + RENEW_BEFORE
        and set(issued_for) >= set(names)
        and _issued_by(certificate, authority.certificate)
    )


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # the library has no common base for a wrong signature and a wrong issuer
        return False
    return True


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    if not re.fullmatch(r"[\w*.-]+", host, re.ASCII):
        raise SettingError(
            f"'{host}' is neither a host name nor an IP address; name what clients connect to, "
            "without a port."
        )
    return x509.DNSName(host)


def pem(*certificates: x509.Certificate) -> bytes:
    """Return certificates as they are written into a file."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as it is written into a file."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
