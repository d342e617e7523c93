"""The table of who may make which call; the contract tests compare it with flwr's routes."""

import datetime

import pytest

from fedstate.accounts.account import Account, Role
from fedstate.accounts.errors import Refusal
from fedstate.accounts.roles import ROUTES, Access, access_to, check_path, check_role

TIME = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
OLGA = Account("olga", Role.OPERATOR, "a" * 64, TIME)
ALICE = Account("alice", Role.SUBMITTER, "b" * 64, TIME)


def test_submitters_have_what_runs_need_and_nothing_else() -> None:
    own = {path.rpartition("/")[2] for path, who in ROUTES.items() if who is Access.OWN_RUNS}
    assert own == {
        *("start-run", "list-runs", "stop-run", "stream-logs", "stream-run-events"),
        *("pull-artifacts", "pull-evidence"),
    }


@pytest.mark.parametrize(
    "path", [*ROUTES, "/v1/control/", "/v1/control/stop-run/", "/v1/control"]
)
def test_a_role_is_checked_by_the_table(path: str) -> None:
    check_role(OLGA, path)
    if access_to(path) is Access.OPERATORS:
        with pytest.raises(Refusal, match="'alice' is a submitter") as raised:
            check_role(ALICE, path)
        assert raised.value.status == 403
    else:
        check_role(ALICE, path)


@pytest.mark.parametrize("path", ROUTES)
def test_a_login_is_nobodys(path: str) -> None:
    if access_to(path) is Access.NOBODY:
        with pytest.raises(Refusal, match="has no login"):
            check_path(path)
    else:
        check_path(path)


def test_a_path_that_is_not_in_the_table_is_for_operators() -> None:
    assert access_to("/v1/control/unheard-of") is Access.OPERATORS
