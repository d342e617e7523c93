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


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its certificate and the key that signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure_authority(directory: Path, *, lifetime: timedelta = AUTHORITY_LIFETIME) -> Authority:
    """Load the authority in ``directory`` (``ca.crt``, ``ca.key``), or make it there.

    Raises
    ------
    CertificateError
        If only one of the two files is there, if one is damaged, if they do not belong
        together, or if the certificate has expired.
    """
    certificate_file, key_file = directory / "ca.crt", directory / "ca.key"
    if not certificate_file.exists() and not key_file.exists():
        _make_authority(certificate_file, key_file, lifetime)
    for file in (certificate_file, key_file):
        if not file.exists():
            raise CertificateError(
                f"{file} is missing while the other half of the authority is there; "
                f"restore it, or remove {directory} and have every node enrolled again."
            )
    certificate = load_certificate(certificate_file)
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (ValueError, TypeError):  # no key, or one with a password
        raise CertificateError(f"{key_file} is not a PEM private key.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != (
        certificate.public_key()
    ):
        raise CertificateError(f"{key_file} is not the key of {certificate_file}.")
    return Authority(certificate, key)


def ensure_server_certificate(
    directory: Path,
    authority: Authority,
    hosts: Sequence[str],
    *,
    lifetime: timedelta = SERVER_LIFETIME,
) -> None:
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

    Raises
    ------
    SettingError
        If one of the hosts is neither a host name nor an IP address.
    CertificateError
        If the ``server.crt`` that is there is no certificate.
    """
    names = [_host(host) for host in hosts]
    write_new(directory / "ca.crt", _pem(authority.certificate), PUBLIC)
    certificate_file, key_file = directory / "server.crt", directory / "server.key"
    if (
        certificate_file.exists()
        and key_file.exists()
        and _is_fit(certificate_file, authority, names)
    ):
        return
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
    write_new(key_file, _private_pem(key), PRIVATE)
    write_new(certificate_file, _pem(certificate), PUBLIC)


def load_certificate(file: Path) -> x509.Certificate:
    """Read a certificate that is in its time of validity.

    Raises
    ------
    CertificateError
        If the file is missing, is no certificate, or is not valid now.
    """
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except FileNotFoundError:
        raise CertificateError(
            f"The certificate {file} is missing; `fedstate certificates` makes it."
        ) from None
    except ValueError:
        raise CertificateError(f"{file} is not a PEM certificate.") from None
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        raise CertificateError(
            f"The certificate {file} expired on {certificate.not_valid_after_utc:%Y-%m-%d}; "
            "remove it and start again, and it is issued anew."
        )
    if certificate.not_valid_before_utc > now:
        raise CertificateError(
            f"The certificate {file} is valid only from {certificate.not_valid_before_utc}; "
            "check this machine's clock."
        )
    return certificate


def _make_authority(certificate_file: Path, key_file: Path, lifetime: timedelta) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    name, now = _name("fedstate authority"), datetime.now(UTC)
    usage = x509.KeyUsage(
        key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    write_new(key_file, _private_pem(key), PRIVATE)
    write_new(certificate_file, _pem(certificate), PUBLIC)


def _is_fit(file: Path, authority: Authority, names: Sequence[x509.GeneralName]) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError:
        raise CertificateError(f"{file} is not a PEM certificate.") from None
    issued_for = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        certificate.issuer == authority.certificate.subject
        and certificate.not_valid_after_utc > datetime.now(UTC) + RENEW_BEFORE
        and set(issued_for) >= set(names)
        and _signed_by(certificate, authority)
    )


def _signed_by(certificate: x509.Certificate, authority: Authority) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
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


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
