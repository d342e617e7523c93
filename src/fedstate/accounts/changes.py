"""What `fedstate account` does to a file of accounts."""

import datetime
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fedstate.accounts.account import (
    Account,
    Role,
    check_name,
    read_accounts,
    write_accounts,
)
from fedstate.accounts.tokens import digest_of, new_token
from fedstate.errors import SettingError
from fedstate.files import PRIVATE, make_directory, write_new


def add_account(file: Path, name: str, role: Role) -> str:
    """Make an account, or a new token for one that was revoked; return the token.

    The token is nowhere else. An account that was revoked keeps its runs, since they are known
    by its name.

    Raises
    ------
    SettingError
        The name cannot be used, or an account has it.
    AccountsError
        The accounts that are there cannot be read.
    """
    check_name(name)
    with _changing(file) as accounts:
        known = accounts.get(name)
        if known is not None and known.revoked is None:
            raise SettingError(
                f"There is an account '{name}' in '{file}', with the role {known.role}; take "
                f"another name, or `fedstate account revoke {name}` first to give it a new token."
            )
        token = new_token()
        accounts[name] = Account(name, role, digest_of(token), _now())
    return token


def ensure_account(file: Path, name: str, role: Role, token_file: Path) -> str:
    """Return the token of an account in a file; make account, token and file if one is missing.

    An account that was revoked gets a new token; the old one stays refused.

    Raises
    ------
    SettingError, AccountsError
        As `add_account`.
    """
    check_name(name)
    try:
        token = _token_in(token_file)
    except FileNotFoundError:
        token = ""
    except ValueError:
        raise SettingError(f"'{token_file}' holds no token; delete it to get another.") from None
    with _changing(file) as accounts:
        known = accounts.get(name)
        if known is None or known != replace(
            known, role=role, digest=digest_of(token), revoked=None
        ):
            token = new_token()
            accounts[name] = Account(name, role, digest_of(token), _now())
            # First: an account whose token nobody has would be of no use.
            write_token(token_file, token)
    return token


def revoke_account(file: Path, name: str) -> bool:
    """Refuse an account's token from now on; return False if it was refused already.

    Raises
    ------
    SettingError
        There is no such account.
    AccountsError
        The accounts cannot be read.
    """
    read_accounts(file)  # an empty one is not to be made here
    with _changing(file) as accounts:
        if name not in accounts:
            known = ", ".join(accounts) or "none"
            raise SettingError(f"There is no account '{name}' in '{file}'; it has: {known}.")
        if accounts[name].revoked is not None:
            return False
        accounts[name] = replace(accounts[name], revoked=_now())
    return True


def write_token(file: Path, token: str) -> None:
    """Write a token into a file that is its owner's alone."""
    write_new(file, f"{token}\n".encode(), PRIVATE)


def read_token(file: Path) -> str:
    """Return the token in a file.

    Raises
    ------
    SettingError
        There is none.
    """
    try:
        return _token_in(file)
    except FileNotFoundError:
        raise SettingError(
            f"The token's file '{file}' is missing; an operator makes it with `fedstate account "
            "add NAME --role submitter --output FILE`."
        ) from None
    except ValueError:
        raise SettingError(f"'{file}' holds no token, which is one word.") from None


def _token_in(file: Path) -> str:
    """Return the one word in a file; ValueError if it holds something else."""
    token = file.read_text().strip()
    if not token or not token.isascii() or any(each.isspace() for each in token):
        raise ValueError("no token")
    return token


@contextmanager
def _changing(file: Path) -> Iterator[dict[str, Account]]:
    """Give the accounts, and write them if they were changed; one process at a time."""
    make_directory(file.parent, 0o700)
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        accounts = read_accounts(file)[1] if file.exists() else {}
        before = dict(accounts)
        yield accounts
        if accounts != before:
            write_accounts(file, accounts)
    finally:
        os.close(directory)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
