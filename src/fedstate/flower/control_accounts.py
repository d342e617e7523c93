"""Accounts at flwr's SuperLink, through what flwr has for them.

flwr knows an account by an ID, which it writes beside each run and node. Operators all have the
one that flwr gives to everybody where there are no accounts: so they have the nodes and runs from
before there were accounts, and from each other. A submitter has an ID of its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from flwr.common.constant import ACCESS_TOKEN_KEY, NOOP_ACCOUNT_NAME, NOOP_FLWR_AID
from flwr.proto.federation_pb2 import Account as AccountMessage
from flwr.proto.federation_pb2 import Member

# What the plugin returns, and the one kind of error that flwr's middleware turns into an answer.
from flwr.supercore.auth.typing import (
    AccountAuthCredentials,
    AccountAuthLoginDetails,
    AccountInfo,
)
from flwr.supercore.error import ApiErrorCode, FlowerError

# What flwr's SuperLink asks for the account of a request, and who is a member of a federation.
from flwr.superlink.auth_plugin import ControlAuthnPlugin
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.federation.typing import Federation
from flwr.superlink.servicer.control import control_handlers

from fedstate.accounts.account import Account, Role
from fedstate.accounts.accounts import Accounts
from fedstate.accounts.errors import Refusal
from fedstate.accounts.roles import NO_LOGIN

# The ID of an operator, and of everybody where there are no accounts.
OPERATORS_ID = NOOP_FLWR_AID
_SUBMITTER = "<account:"

Metadata = Sequence[tuple[str, str | bytes]]


def account_id(account: Account) -> str:
    """Return the ID by which flwr knows an account."""
    return OPERATORS_ID if account.role is Role.OPERATOR else f"{_SUBMITTER}{account.name}>"


def account_names(ids: Iterable[str]) -> dict[str, str]:
    """Return the names of accounts, by their IDs in flwr's state."""
    return {
        each: each.removeprefix(_SUBMITTER).removesuffix(">")
        if each.startswith(_SUBMITTER)
        else NOOP_ACCOUNT_NAME
        for each in ids
    }


# flwr knows no account but one here, and a list of runs with another's in it would fail.
control_handlers.resolve_account_ids = account_names


class AccountPlugin(ControlAuthnPlugin):
    """Tells flwr's SuperLink whose a token is.

    Parameters
    ----------
    accounts : Accounts
        The accounts that may call the Control API.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def validate_tokens_in_metadata(self, metadata: Metadata) -> tuple[bool, AccountInfo | None]:
        """Return whether a token is an account's, and the account."""
        tokens = [value for key, value in metadata if key == ACCESS_TOKEN_KEY]
        try:
            account = self._accounts.account_of(str(tokens[0]) if tokens else "")
        except Refusal:
            return False, None
        return True, AccountInfo(account_id(account), account.name)

    def refresh_tokens(
        self,
        metadata: Metadata,  # noqa: ARG002  flwr's signature
    ) -> tuple[Metadata | None, AccountInfo | None]:
        """Refuse: a token is good until it is revoked, and there is no other."""
        raise _no_login()

    def get_login_details(self) -> AccountAuthLoginDetails | None:
        """Refuse ``flwr login``, with what to do in its place."""
        raise _no_login()

    def get_auth_tokens(
        self,
        device_code: str,  # noqa: ARG002  flwr's signature
    ) -> AccountAuthCredentials | None:
        """Refuse the second step of a login."""
        raise _no_login()


def _no_login() -> FlowerError:
    # The door has refused the request before it came here.
    return FlowerError(ApiErrorCode.NO_PERMISSIONS, "There is no login.", NO_LOGIN)


class AccountFederation(NoOpFederationManager):
    """flwr's one federation, of which all accounts are members.

    Parameters
    ----------
    accounts : Accounts
        The accounts; also one that was revoked stays a member, since its runs go on.
    simulation : bool
        Whether the SuperLink simulates its nodes.
    """

    def __init__(self, accounts: Accounts, *, simulation: bool) -> None:
        super().__init__(simulation=simulation)
        self._accounts = accounts

    def has_member(self, flwr_aid: str, federation_id: str) -> bool:
        """Return whether an account is a member of a federation."""
        if super().has_member(flwr_aid, federation_id):  # it raises if there is no such one
            return True
        return any(account_id(each) == flwr_aid for each in self._accounts.all())

    def get_federations(self, flwr_aid: str) -> list[Federation]:
        """Return the federations of an account."""
        federations = super().get_federations(OPERATORS_ID)
        return [
            self._with_members(each) for each in federations if self.has_member(flwr_aid, each.id)
        ]

    def get_details(self, federation_id: str) -> Federation:
        """Return a federation, with all of its runs, nodes and members."""
        return self._with_members(super().get_details(federation_id))

    def _with_members(self, federation: Federation) -> Federation:
        members = [
            Member(
                account=AccountMessage(id=account_id(each), name=each.name),
                role="owner" if each.role is Role.OPERATOR else "member",
            )
            for each in self._accounts.all()
            if each.revoked is None
        ]
        return replace(federation, members=members, member_count=len(members))
