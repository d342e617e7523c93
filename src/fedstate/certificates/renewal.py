"""Renewing certificates under running services, the authority's too.

Each step leaves files with which everything goes on: whoever runs takes a changed file up with
its next connection, and whoever begins finds what belongs together, or a step that is made again.
The authority is replaced in two steps, with as much time between them as it takes to bring its
new ``ca.crt`` to whoever is not on this machine. Between them clients trust both authorities, and
servers show a bridge from the old one to the new: a client that trusts either goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from fedstate.certificates.authority import (
    BRIDGES,
    SERVER_LIFETIME,
    Authority,
    authority_certificate,
    ensure_authority,
    ensure_server_certificate,
    load_all,
    load_authority,
    load_key,
    pem,
    private_pem,
    trust,
)
from fedstate.errors import CertificateError, SettingError
from fedstate.files import PRIVATE, PUBLIC, write_new

# The new authority's key until it signs.
NEXT_KEY = "next-ca.key"


@dataclass(frozen=True)
class Renewed:
    """What a directory holds after a renewal.

    Attributes
    ----------
    directory : Path
        The directory.
    end : datetime or None
        Until when its server certificate is valid, in UTC; None for a directory that has nothing
        but the authority's certificate.
    new : bool
        Whether the server certificate was made now.
    """

    directory: Path
    end: datetime | None
    new: bool


def renew(
    directories: Sequence[Path],
    authority_directory: Path,
    *,
    force: bool = False,
    lifetime: timedelta = SERVER_LIFETIME,
) -> list[Renewed]:
    """Renew what is about to expire, and bring every directory to what the authority is now.

    Parameters
    ----------
    directories : sequence of Path
        Services' directories: with a ``server.crt``, of which another is made for the same hosts
        when it is in its last 30 days, of another authority, or not of its ``server.key``; and
        such with nothing but a ``ca.crt``, which gets the authority's certificates.
    authority_directory : Path
        The authority's directory.
    force : bool
        Whether to renew server certificates that are valid for longer, too.
    lifetime : timedelta
        How long a new certificate is valid.

    Raises
    ------
    SettingError
        If a directory has neither file; nothing was changed then.
    CertificateError
        If a certificate or the authority cannot be used.
    """
    hosts = _hosts(directories)
    return _renew(hosts, _authority(authority_directory), force=force, lifetime=lifetime)


def replace_authority(
    directories: Sequence[Path], authority_directory: Path, *, force: bool = False
) -> list[Renewed]:
    """Put a new authority in the place of the old one, which stays trusted.

    Where that has been done before, and the old authority has not been dropped, this brings the
    directories to it, and makes no third one.

    Parameters
    ----------
    directories, authority_directory, force
        As for `renew`.

    Raises
    ------
    SettingError, CertificateError
        As for `renew`, but for an authority that has expired.
    """
    hosts = _hosts(directories)
    authority = load_authority(authority_directory)
    if len(authority.trusted) == 1 or (authority_directory / NEXT_KEY).exists():
        authority = _replaced(authority, authority_directory)
    return _renew(hosts, authority, force=force)


def drop_old_authority(
    directories: Sequence[Path], authority_directory: Path, *, force: bool = False
) -> list[Renewed]:
    """Let nobody trust the old authority any longer, after `replace_authority`.

    Parameters
    ----------
    directories, authority_directory, force
        As for `renew`.

    Raises
    ------
    SettingError
        If the new authority is not in its place yet, or as for `renew`.
    CertificateError
        As for `renew`.
    """
    hosts = _hosts(directories)
    if (authority_directory / NEXT_KEY).exists():
        raise SettingError(
            f"The new authority in {authority_directory} is not in its place yet, since "
            "something ended `fedstate certificates renew --new-authority`: run that again first."
        )
    authority = _authority(authority_directory)
    # First all servers: what they show is trusted by those who trust both.
    made = _renew(hosts, authority, force=force)
    write_new(authority_directory / "ca.crt", pem(authority.certificate), PUBLIC)
    (authority_directory / BRIDGES).unlink(missing_ok=True)
    _renew(hosts, ensure_authority(authority_directory))
    return made


def _authority(directory: Path) -> Authority:
    """Load an authority that is there: nothing is renewed by one that nobody trusts."""
    if not directory.is_dir() or not any(directory.iterdir()):
        raise CertificateError(
            f"There is no authority in '{directory}': give the directory of "
            "`fedstate certificates authority`."
        )
    return ensure_authority(directory)


def _replaced(old: Authority, directory: Path) -> Authority:
    """Put the next authority in the place of this one; begun before, it is gone on with."""
    next_file = directory / NEXT_KEY
    if not next_file.exists():
        write_new(next_file, private_pem(ec.generate_private_key(ec.SECP384R1())), PRIVATE)
    key = load_key(next_file)
    if key.public_key() != old.key.public_key():
        known = [each for each in old.trusted if each.public_key() == key.public_key()]
        new = known[0] if known else authority_certificate(key)
        trusted = [new]
        if old.certificate.not_valid_after_utc > datetime.now(UTC):
            trusted.append(old.certificate)
            write_new(directory / BRIDGES, pem(authority_certificate(key, by=old)), PUBLIC)
        write_new(directory / "ca.crt", pem(*trusted, *_others(old, key)), PUBLIC)
        # From here on the new one signs: everything that this takes is there.
        write_new(directory / "ca.key", private_pem(key), PRIVATE)
    next_file.unlink()
    return ensure_authority(directory)


def _others(old: Authority, key: ec.EllipticCurvePrivateKey) -> list[x509.Certificate]:
    """Return what is trusted besides the old authority and the new one."""
    keys = (old.key.public_key(), key.public_key())
    return [each for each in old.trusted if each.public_key() not in keys]


def _renew(
    hosts: dict[Path, list[str] | None],
    authority: Authority,
    *,
    force: bool = False,
    lifetime: timedelta = SERVER_LIFETIME,
) -> list[Renewed]:
    # First all clients: a server's new certificate is then trusted when it is seen.
    for directory in hosts:
        trust(directory, authority)
    made = []
    for directory, names in hosts.items():
        if names is None:
            made.append(Renewed(directory, None, new=False))
            continue
        new = ensure_server_certificate(
            directory, authority, names, lifetime=lifetime, force=force
        )
        end = load_all(directory / "server.crt")[0].not_valid_after_utc
        made.append(Renewed(directory, end, new=new))
    return made


def _hosts(directories: Sequence[Path]) -> dict[Path, list[str] | None]:
    """Return the hosts of each directory's server certificate; None where there is none."""
    found: dict[Path, list[str] | None] = {}
    for directory in directories:
        file = directory / "server.crt"
        if file.exists():
            extensions = load_all(file)[0].extensions
            try:
                names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            except x509.ExtensionNotFound:
                raise CertificateError(
                    f"{file} names no hosts, for which another could be made; "
                    "`fedstate certificates server` makes one for the hosts that it is given."
                ) from None
            found[directory] = [
                *names.get_values_for_type(x509.DNSName),
                *map(str, names.get_values_for_type(x509.IPAddress)),
            ]
        elif (directory / "server.key").exists() or not (directory / "ca.crt").exists():
            raise SettingError(
                f"{directory} has no server.crt whose hosts could be taken, and is not a "
                "directory of a ca.crt alone; `fedstate certificates server` makes one."
            )
        else:
            found[directory] = None
    return found
