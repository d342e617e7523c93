"""The accounts of a running SuperLink: read again when their file changes."""

import hmac
from collections.abc import Iterable
from pathlib import Path

from fedstate.accounts.account import Account, Stamp, read_accounts
from fedstate.accounts.errors import AccountsError, Refusal
from fedstate.accounts.tokens import bearer_token, digest_of, revoked_token, unknown_token
from fedstate.logs import logger


class Accounts:
    """The accounts in a file, as they are at each call; any thread may use it.

    While the file cannot be read, nobody has access: what was read before may have accounts in it
    that were revoked since.

    Parameters
    ----------
    file : Path
        The file of accounts.

    Raises
    ------
    AccountsError
        The file is missing or damaged, or has no operator.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        stamp, accounts = read_accounts(file)
        # One attribute, and so no lock: whoever reads it has a stamp and what belongs to it.
        self._known: tuple[Stamp | None, tuple[Account, ...] | None] = (
            stamp,
            tuple(accounts.values()),
        )

    def authenticate(self, headers: Iterable[tuple[bytes, bytes]]) -> Account:
        """Return the account of a request, by the token in its headers.

        It reads the headers alone and takes some 10 µs, so that it can be asked before a
        request's body is read.

        Parameters
        ----------
        headers : iterable of pairs of bytes
            The request's headers, their names in lower case, as ASGI has them.

        Raises
        ------
        Refusal
            There is no token, or it is not one of an account, or was revoked (401), or the
            accounts cannot be read (503).
        """
        return self.account_of(bearer_token(headers))

    def accepts(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether a request comes from an account."""
        try:
            self.authenticate(headers)
        except Refusal:
            return False
        return True

    def account_of(self, token: str) -> Account:
        """Return the account that a token belongs to; see `authenticate` for what it raises."""
        digest = digest_of(token)
        found = None
        # All are compared, each in constant time: how long it takes says nothing of any.
        for account in self._current():
            if hmac.compare_digest(account.digest, digest):
                found = account
        if found is None:
            raise unknown_token()
        if found.revoked is not None:
            raise revoked_token(found.name)
        return found

    def all(self) -> tuple[Account, ...]:
        """Return all accounts, also those that were revoked; Refusal if they cannot be read."""
        return self._current()

    def _current(self) -> tuple[Account, ...]:
        known, accounts = self._known
        try:
            stamp = Stamp.of(self._file.stat())
        except OSError:
            stamp = None
        if stamp != known or stamp is None:
            stamp, accounts = self._read(stamp)
            self._known = stamp, accounts
        if accounts is None:
            raise Refusal.unavailable(
                "This SuperLink cannot read its accounts, so nobody has access; its operator "
                "finds the reason in its log."
            )
        return accounts

    def _read(self, seen: Stamp | None) -> tuple[Stamp | None, tuple[Account, ...] | None]:
        try:
            stamp, accounts = read_accounts(self._file)
        except AccountsError as error:
            if self._known != (seen, None):  # said once for each content
                logger.error("Nobody has access to the Control API: %s", error)
            return seen, None
        logger.info("%d accounts are read from %s.", len(accounts), self._file)
        return stamp, tuple(accounts.values())
