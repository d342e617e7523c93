"""Who may call a SuperLink's Control API: accounts, their roles, and the log of their calls.

``account``      accounts, and the file in which a SuperLink has them
``accounts``     the accounts of a running SuperLink
``changes``      what `fedstate account` does to the file
``roles``        which role may make which call
``door``         the middleware that asks each call for its account
``streams``      answers that end with their account
``audit``        the log of all calls
``credentials``  where Flower's command line keeps tokens
"""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.accounts.account import Account, Role
    from fedstate.accounts.accounts import Accounts
    from fedstate.accounts.audit import AuditLog
    from fedstate.accounts.door import ControlDoor
    from fedstate.accounts.errors import AccountsError, Refusal

__all__ = [
    "Account",
    "Accounts",
    "AccountsError",
    "AuditLog",
    "ControlDoor",
    "Refusal",
    "Role",
]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "Account": ".account",
            "Accounts": ".accounts",
            "AccountsError": ".errors",
            "AuditLog": ".audit",
            "ControlDoor": ".door",
            "Refusal": ".errors",
            "Role": ".account",
        },
    )
