"""Accounts, and the file in which a SuperLink has them."""

import datetime
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import tomli_w

from fedstate.accounts.errors import AccountsError
from fedstate.errors import SettingError
from fedstate.files import PRIVATE, write_new

_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEYS = {"role", "token-sha256", "created"}
_ADD = "`fedstate account add NAME --role operator --accounts FILE` makes it"
_HEADER = "# The accounts of a SuperLink; `fedstate account` changes it.\n"


class Role(StrEnum):
    """What an account may do: see `fedstate.accounts.roles`."""

    OPERATOR = "operator"
    SUBMITTER = "submitter"


@dataclass(frozen=True)
class Account:
    """Somebody who may call a SuperLink's Control API.

    Attributes
    ----------
    name : str
        What people call the account.
    role : Role
        What it may do.
    digest : str
        The SHA-256 of its token, in hexadecimal digits.
    created : datetime
        When the token was made.
    revoked : datetime, optional
        Since when the token is refused; None if it is not.
    """

    name: str
    role: Role
    digest: str
    created: datetime.datetime
    revoked: datetime.datetime | None = None


@dataclass(frozen=True)
class Stamp:
    """What tells one content of a file from the next."""

    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """Return the stamp of a file's status."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def check_name(name: str) -> None:
    """Refuse a name that an account cannot have.

    Raises
    ------
    SettingError
        The name is not one.
    """
    if not _NAME.fullmatch(name):
        raise SettingError(
            f"An account cannot be called '{name}'; a name has up to 63 letters, digits, '.', "
            "'_' and '-', and begins with a letter or digit."
        )


def read_accounts(file: Path) -> tuple[Stamp, dict[str, Account]]:
    """Read accounts, by name, and the stamp of the file as it was read.

    Raises
    ------
    AccountsError
        The file is missing or damaged, or others than its owner may write to it.
    """
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            content = opened.read()
    except OSError as error:
        hint = f"; {_ADD}" if isinstance(error, FileNotFoundError) else ""
        raise AccountsError(
            f"The accounts in '{file}' cannot be read ({error.strerror}){hint}."
        ) from None
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise AccountsError(
            f"Others than its owner may write to the accounts in '{file}', and so make "
            f"themselves operators; set its mode with `chmod 600 {file}`."
        )
    try:
        return Stamp.of(status), _parse(content)
    except ValueError as error:  # no text, no TOML, or not what belongs into it
        raise AccountsError(
            f"The accounts in '{file}' are damaged ({error}); put back a copy, or move the file "
            "away and make each account again with `fedstate account add`."
        ) from None


def write_accounts(file: Path, accounts: Mapping[str, Account]) -> None:
    """Write accounts so that the file is complete, durable and its owner's alone."""
    tables = {name: _table(account) for name, account in accounts.items()}
    content = _HEADER + tomli_w.dumps({"version": _VERSION, "accounts": tables})
    write_new(file, content.encode(), PRIVATE)


def _table(account: Account) -> dict[str, Any]:
    table: dict[str, Any] = {
        "role": account.role.value,
        "token-sha256": account.digest,
        "created": account.created,
    }
    return table | ({} if account.revoked is None else {"revoked": account.revoked})


def _parse(content: bytes) -> dict[str, Account]:
    """Return the accounts of a file's content; ValueError if one thing in it is not right."""
    document = tomllib.loads(content.decode())
    if document.get("version") != _VERSION:
        raise ValueError(f"its version is {document.get('version')!r}, and not {_VERSION}")
    tables = document.get("accounts")
    if not isinstance(tables, dict) or document.keys() != {"version", "accounts"}:
        raise ValueError("it is not 'version' and a table 'accounts'")
    accounts = {name: _account(name, table) for name, table in tables.items()}
    if len({account.digest for account in accounts.values()}) < len(accounts):
        raise ValueError("two accounts have the same token")
    return accounts


def _account(name: str, table: object) -> Account:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name")
    if not isinstance(table, dict) or not _KEYS <= table.keys() <= _KEYS | {"revoked"}:
        raise ValueError(f"account {name!r} does not have what an account has")
    role, digest, created = (table[key] for key in ("role", "token-sha256", "created"))
    revoked = table.get("revoked")
    if role not in list(Role):
        raise ValueError(f"account {name!r} has the role {role!r}")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError(f"the token of account {name!r} is no SHA-256")
    for time in (created, revoked):
        if time is not None and not isinstance(time, datetime.datetime):
            raise ValueError(f"account {name!r} has {time!r} for a time")
    return Account(name, Role(role), digest, created, revoked)
