"""The list of apps that a node runs: what ``--allow FILE`` names, and whether an app is in it.

An entry of the list is a table ``[[allow]]``. An app has to have everything that one entry asks
for; one entry that it fits is enough.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from fedstate.errors import SettingError
from fedstate.flower.runs import Fab, is_verified
from fedstate.supernode.fab_names import AppName

_ENTRIES, _PUBLISHERS = "allow", "publishers"
_KEYS = ("hash", "app", "version", "signed-by")
_HASH_DIGITS = 64


@dataclass(frozen=True)
class Entry:
    """What an app has to have to fit one entry; what is None is not asked for.

    Attributes
    ----------
    fab_hash : str, optional
        The SHA-256 of its FAB, 64 hexadecimal digits.
    app : str, optional
        What it calls itself, ``publisher/name``.
    versions : SpecifierSet, optional
        The versions, as PEP 440 describes them.
    publishers : dict of str to str, optional
        Public keys by their IDs, of which one has signed the FAB.
    """

    fab_hash: str | None = None
    app: str | None = None
    versions: SpecifierSet | None = None
    publishers: Mapping[str, str] | None = None

    @property
    def trusts_names(self) -> bool:
        """Whether it is enough that an app calls itself so."""
        return self.fab_hash is None and self.publishers is None

    def fits(self, fab: Fab, fab_hash: str, name: AppName | None) -> bool:
        """Return whether a FAB fits; `fab_hash` is that of its bytes, `name` what they say."""
        if self.fab_hash not in (None, fab_hash):
            return False
        if self.app is not None and (name is None or name.app != self.app):
            return False
        if self.versions is not None and (name is None or not self._has_version(name.version)):
            return False
        return self.publishers is None or _is_signed(fab, self.publishers)

    def _has_version(self, version: str) -> bool:
        try:
            return self.versions is not None and self.versions.contains(Version(version))
        except InvalidVersion:
            return False


def _is_signed(fab: Fab, publishers: Mapping[str, str]) -> bool:
    try:
        return is_verified(fab, publishers)
    except Exception:  # whatever flwr makes of a signature that the SuperLink has made up
        return False


def read_allowed(file: Path) -> tuple[Entry, ...]:
    """Read a list of allowed apps.

    Raises
    ------
    SettingError
        It cannot be read, or has something that is not understood.
    """
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingError(
            f"The list of allowed apps '{file}' cannot be read ({error.strerror})."
        ) from None
    except (ValueError, RecursionError) as error:  # no TOML, or no text
        raise SettingError(
            f"The list of allowed apps '{file}' is not valid TOML: {error}."
        ) from None
    try:
        return _entries(content)
    except ValueError as error:
        raise SettingError(f"The list of allowed apps '{file}' is wrong: {error}.") from None


def _entries(content: Mapping[str, Any]) -> tuple[Entry, ...]:
    for name in content:
        if name not in (_ENTRIES, _PUBLISHERS):
            raise ValueError(f"it has '{name}'; what it may have is [[allow]] and [publishers]")
    publishers = content.get(_PUBLISHERS, {})
    if not isinstance(publishers, dict):
        raise ValueError("'publishers' is not a table of public keys by their IDs")
    for key_id, key in publishers.items():
        _check_key(key_id, key)
    entries = content.get(_ENTRIES, [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise ValueError("'allow' is not a list of tables; begin each entry with [[allow]]")
    return tuple(
        _entry(f"entry {number}", each, publishers) for number, each in enumerate(entries, 1)
    )


def _entry(where: str, table: Mapping[str, Any], publishers: Mapping[str, str]) -> Entry:
    for key in table:
        if key not in _KEYS:
            known = ", ".join(_KEYS)
            raise ValueError(f"{where} has '{key}'; what it may have is {known}")
    if not table:
        raise ValueError(f"{where} is empty, which would allow every app")
    fab_hash, app, version = (_text(where, table, key) for key in ("hash", "app", "version"))
    if fab_hash is not None:
        _check_hash(where, fab_hash)
    if app is not None and not re.fullmatch(r"[^/\s]+/[^/\s]+", app):
        raise ValueError(f"{where} has the app '{app}', which is not publisher/name")
    if version is not None and app is None:
        raise ValueError(f"{where} has the version '{version}' of no app; add 'app'")
    signers = table.get("signed-by")
    return Entry(
        fab_hash,
        app,
        None if version is None else _versions(where, version),
        None if signers is None else _signers(where, signers, publishers),
    )


def _text(where: str, table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise ValueError(f"{where} has the {key} {value!r}, which is not a text in quotes")
    return value


def _check_hash(where: str, fab_hash: str) -> None:
    if re.fullmatch(r"[0-9a-f]+", fab_hash) and len(fab_hash) < _HASH_DIGITS:
        raise ValueError(
            f"{where} has the hash '{fab_hash}' with {len(fab_hash)} digits of {_HASH_DIGITS}: "
            "another app may have one that begins alike; give all digits"
        )
    if not re.fullmatch(rf"[0-9a-f]{{{_HASH_DIGITS}}}", fab_hash):
        raise ValueError(
            f"{where} has the hash '{fab_hash}', which is not a SHA-256 in {_HASH_DIGITS} "
            "lower-case hexadecimal digits"
        )


def _versions(where: str, text: str) -> SpecifierSet:
    try:
        # A version alone is that version.
        return SpecifierSet(f"=={Version(text)}")
    except InvalidVersion:
        pass
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(
            f"{where} has the version '{text}', which is neither a version such as 1.2.0 nor a "
            "range such as >=1.2,<2 (PEP 440)"
        ) from None


def _signers(where: str, names: Any, publishers: Mapping[str, str]) -> dict[str, str]:
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names:
        raise ValueError(f"{where} has {names!r} for signed-by; give IDs of [publishers]")
    for name in names:
        if not isinstance(name, str) or name not in publishers:
            raise ValueError(f"{where} is signed-by {name!r}, which [publishers] has no key of")
    return {name: publishers[name] for name in names}


def _check_key(key_id: str, key: Any) -> None:
    try:
        loaded = load_ssh_public_key(str(key).encode())
    except (ValueError, UnsupportedAlgorithm):
        loaded = None
    if not isinstance(loaded, Ed25519PublicKey):
        raise ValueError(
            f"the key of publisher '{key_id}' is not an OpenSSH key of the kind ssh-ed25519"
        )
