"""The door: who is refused is answered before anything of the body is read."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from fedstate.accounts.account import Role
from fedstate.accounts.accounts import Accounts
from fedstate.accounts.audit import AuditLog
from fedstate.accounts.changes import add_account
from fedstate.accounts.door import ACCOUNT, ControlDoor
from fedstate.accounts.roles import PREFIX


class Calls:
    """A door, what reached the application behind it, and what was audited."""

    def __init__(self, directory: Path, *, asks: bool = True, fails: bool = False) -> None:
        file = directory / "accounts.toml"
        self.tokens = {
            "olga": add_account(file, "olga", Role.OPERATOR),
            "alice": add_account(file, "alice", Role.SUBMITTER),
        }
        self._audit = directory / "audit.log"
        accounts = Accounts(file) if asks else None
        self._door = ControlDoor(self._app, accounts=accounts, audit=AuditLog(self._audit))
        self._fails = fails
        self.reached: list[Scope] = []

    async def _app(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.reached.append(scope)
        if self._fails:
            raise RuntimeError("a bug")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    def call(self, path: str, *tokens: str, kind: str = "http") -> list[Message]:
        """Make a call whose body must not be asked for."""
        sent: list[Message] = []

        async def receive() -> Message:
            raise AssertionError("the body is read")

        async def send(message: Message) -> None:
            sent.append(message)

        scope: dict[str, Any] = {
            "type": kind,
            "path": path,
            "client": ("10.0.0.7", 4321),
            "headers": [(b"authorization", f"Bearer {each}".encode()) for each in tokens],
        }
        asyncio.run(self._door(scope, receive, send))
        return sent

    def audited(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._audit.read_text().splitlines()]


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls(tmp_path)


def test_an_account_is_let_in_and_known_inside(calls: Calls) -> None:
    calls.call(f"{PREFIX}list-nodes", calls.tokens["olga"])
    assert calls.reached[0]["state"][ACCOUNT].name == "olga"
    (entry,) = calls.audited()
    entry.pop("time")
    assert entry == {
        "account": "olga",
        "role": "operator",
        "peer": "10.0.0.7:4321",
        "call": "list-nodes",
        "status": 204,
        "outcome": "allowed",
    }


@pytest.mark.parametrize(
    ("tokens", "status"), [([], 401), (["x"], 401), (["alice"], 403), (["olga", "olga"], 401)]
)
def test_who_may_not_is_answered_in_flowers_format(
    calls: Calls, tokens: list[str], status: int
) -> None:
    given = [calls.tokens.get(each, each) for each in tokens]
    start, body = calls.call(f"{PREFIX}list-nodes", *given)
    assert start["status"] == status
    answer = json.loads(body["body"])
    assert answer.keys() == {"code", "detail"}
    headers = dict(start["headers"])
    assert int(headers[b"content-length"]) == len(body["body"])
    # Flower's client would ask for another token first.
    assert headers.get(b"www-authenticate") != b"Bearer"
    assert (b"www-authenticate" in headers) == (status == 401)
    assert not calls.reached
    (entry,) = calls.audited()
    assert (entry["status"], entry["outcome"]) == (status, "refused")
    assert entry["reason"] == answer["detail"]
    assert entry["account"] == ("alice" if tokens == ["alice"] else None)


@pytest.mark.parametrize("name", ["olga", "alice", ""])
def test_a_login_is_refused_to_everybody(calls: Calls, name: str) -> None:
    start, _ = calls.call(f"{PREFIX}get-login-details", *filter(None, [calls.tokens.get(name)]))
    assert start["status"] == 403
    assert not calls.reached


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/v1/fleet/x", "http"), ("/v1/controls", "http"), ("/health", "http"), ("", "lifespan")],
)
def test_other_paths_pass_by(calls: Calls, path: str, kind: str) -> None:
    calls.call(path, kind=kind)
    assert len(calls.reached) == 1
    assert not calls.audited()


def test_a_call_that_fails_is_audited(tmp_path: Path) -> None:
    calls = Calls(tmp_path, fails=True)
    with pytest.raises(RuntimeError, match="a bug"):
        calls.call(f"{PREFIX}list-nodes", calls.tokens["olga"])
    (entry,) = calls.audited()
    assert (entry["status"], entry["outcome"]) == (500, "failed")


def test_without_accounts_everybody_is_let_in_and_audited(tmp_path: Path) -> None:
    calls = Calls(tmp_path, asks=False)
    calls.call(f"{PREFIX}list-nodes")
    assert ACCOUNT not in calls.reached[0]["state"]
    (entry,) = calls.audited()
    assert entry["account"] is None


def test_a_refused_call_is_the_last_on_its_connection(calls: Calls) -> None:
    """Its body has not been read, and need not be."""
    start, _ = calls.call(f"{PREFIX}start-run")
    assert (b"connection", b"close") in start["headers"]


def test_a_long_path_does_not_fill_the_log(calls: Calls) -> None:
    calls.call(PREFIX + "x" * 60_000)
    assert len(calls.audited()[0]["call"]) == 201
