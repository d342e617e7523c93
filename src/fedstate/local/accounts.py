"""The accounts of a local federation: one operator, whoever starts it."""

from pathlib import Path

from fedstate.accounts.account import Role
from fedstate.accounts.changes import ensure_account

OPERATOR = "operator"


def accounts_file(superlink: Path) -> Path:
    """Return the file of accounts in a SuperLink's directory."""
    return superlink / "accounts.toml"


def audit_log(superlink: Path) -> Path:
    """Return the audit log in a SuperLink's directory."""
    return superlink / "audit.log"


def operator_token(superlink: Path) -> str:
    """Return the operator's token; account and token are made if they are not there."""
    token_file = superlink / "operator.token"
    return ensure_account(accounts_file(superlink), OPERATOR, Role.OPERATOR, token_file)


def options(superlink: Path) -> list[str]:
    """Return the options that let a SuperLink ask for accounts."""
    return [
        *("--accounts", str(accounts_file(superlink))),
        *("--audit-log", str(audit_log(superlink))),
    ]
