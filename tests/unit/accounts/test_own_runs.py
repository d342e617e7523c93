"""Submitters are checked where their message is known; others are not."""

import asyncio
import datetime
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from fedstate.accounts.account import Account, Role
from fedstate.accounts.door import ACCOUNT, DETAILS, REASON
from fedstate.accounts.errors import Refusal
from fedstate.accounts.own_runs import OwnRuns
from fedstate.accounts.roles import PREFIX
from fedstate.exchange.messages import EvidenceRequest

TIME = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
OLGA = Account("olga", Role.OPERATOR, "a" * 64, TIME)
ALICE = Account("alice", Role.SUBMITTER, "b" * 64, TIME)
REQUEST = EvidenceRequest(run_ids=[7])


def call(account: Account | None, path: str) -> tuple[list[str], dict[str, Any], list[Message]]:
    """Return who was checked, the request's state, and the answer."""
    checked: list[str] = []
    sent: list[Message] = []

    def check(account: Account, message: Any) -> None:
        checked.append(account.name)
        assert message is REQUEST
        raise Refusal.forbidden("not yours")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "path": path,
        "state": {"protobuf_request": REQUEST, ACCOUNT: account},
    }
    asyncio.run(OwnRuns(app, check=check)(scope, None, send))  # type: ignore[arg-type]
    return checked, scope["state"], sent


def test_a_submitters_message_is_checked() -> None:
    checked, state, (start, body) = call(ALICE, f"{PREFIX}pull-evidence")
    assert checked == ["alice"]
    assert start["status"] == 403
    assert json.loads(body["body"]) == {"code": 9, "detail": "not yours"}
    assert (state[REASON], state[DETAILS]) == ("not yours", {"runs": ["7"]})


@pytest.mark.parametrize(
    ("account", "path"),
    [(OLGA, "pull-evidence"), (None, "pull-evidence"), (ALICE, "list-nodes")],
)
def test_others_are_not(account: Account | None, path: str) -> None:
    checked, state, (start,) = call(account, f"{PREFIX}{path}")
    assert (checked, start["status"]) == ([], 204)
    assert state[DETAILS] == {"runs": ["7"]}


def test_other_paths_pass_by() -> None:
    checked, state, (start,) = call(ALICE, "/v1/fleet/pull-evidence")
    assert (checked, start["status"]) == ([], 204)
    assert DETAILS not in state
