"""Who may make which call of the Control API: a table of its routes.

A path that is not in the table is for operators: a route that Flower adds is closed to submitters
until somebody has looked at it. `tests/contract/flower/test_control_roles.py` compares the table
with the routes that are there.
"""

from collections.abc import Mapping
from enum import Enum

from fedstate.accounts.account import Account, Role
from fedstate.accounts.errors import Refusal
from fedstate.exchange import paths

PREFIX = "/v1/control/"
NO_LOGIN = (
    "This SuperLink has no login: its operator makes a token with `fedstate account add`, and "
    "`fedstate connection ... --token-file FILE` stores it where `flwr` finds it."
)


class Access(Enum):
    """Who may make a call.

    Attributes
    ----------
    NOBODY
        The steps of a login, which there is none of: a token is made by an operator.
    OWN_RUNS
        A submitter for runs of its own; an operator for all.
    OPERATORS
        Operators alone.
    """

    NOBODY = "nobody"
    OWN_RUNS = "own runs"
    OPERATORS = "operators"


_NOBODY = ("get-login-details", "get-auth-tokens", "refresh-auth-tokens")
_OWN_RUNS = (
    *("start-run", "list-runs", "stop-run", "stream-logs", "stream-run-events"),
    "pull-artifacts",
)
_OPERATORS = (
    # Nodes.
    *("register-node", "unregister-node", "list-nodes", "replace-node-key", "restore-node"),
    # The federation and its members.
    *("list-federations", "show-federation", "create-federation", "archive-federation"),
    *("add-node-to-federation", "remove-node-from-federation", "set-federation-icon"),
    *("remove-account-from-federation", "configure-simulation-federation"),
    *("create-invitation", "list-invitations", "accept-invitation", "reject-invitation"),
    "revoke-invitation",
    # What all members of a federation share.
    *("list-apps", "list-app-associations", "add-app", "remove-app"),
    *("list-connectors", "disconnect-connector"),
    *("begin-connector-oauth", "complete-connector-oauth"),
    *("start-automation", "list-automations", "stop-automation"),
    # Series, which hold runs of several accounts.
    *("list-run-series", "get-run-series", "list-run-series-events"),
    "update-run-series-description",
)

ROUTES: Mapping[str, Access] = {
    **dict.fromkeys((PREFIX + name for name in _NOBODY), Access.NOBODY),
    **dict.fromkeys((PREFIX + name for name in _OWN_RUNS), Access.OWN_RUNS),
    paths.CONTROL_EVIDENCE: Access.OWN_RUNS,
    **dict.fromkeys((PREFIX + name for name in _OPERATORS), Access.OPERATORS),
}


def access_to(path: str) -> Access:
    """Return who may call a path of the Control API."""
    return ROUTES.get(path, Access.OPERATORS)


def check_path(path: str) -> None:
    """Refuse a call that is nobody's, whoever makes it.

    Raises
    ------
    Refusal
        It is a step of a login (403).
    """
    if access_to(path) is Access.NOBODY:
        raise Refusal.forbidden(NO_LOGIN)


def check_role(account: Account, path: str) -> None:
    """Refuse a call that an account's role does not have.

    Whether a run is the account's own is not known before the request is read.

    Raises
    ------
    Refusal
        The account may not call the path (403).
    """
    if account.role is Role.OPERATOR or access_to(path) is not Access.OPERATORS:
        return
    raise Refusal.forbidden(
        f"Account '{account.name}' is a {account.role}, and '{path.removeprefix(PREFIX)}' is for "
        "operators; a submitter may start, list, stop and follow its own runs."
    )
