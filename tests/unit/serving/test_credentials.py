"""A request whose headers prove nothing reaches nothing."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from fedstate.serving.answers import Refusal, refusal
from fedstate.serving.connections import Connections
from fedstate.serving.credentials import Credentials, RefusedError
from fedstate.serving.limits import Limits
from fedstate.serving.protocol import STATE_KEY


async def check(scope: Scope) -> bool:
    """Ask for a token at every path but one."""
    if scope["path"] == "/health":
        return False
    if (b"token", b"right") not in scope["headers"]:
        raise RefusedError(Refusal(401, {"code": 1, "detail": "No."}, {"WWW-Authenticate": "T"}))
    return True


@pytest.mark.parametrize(
    ("path", "token", "status", "known"),
    [
        ("/objects", b"right", 200, True),
        ("/objects", b"wrong", 401, False),
        ("/health", b"right", 200, False),
        ("/health", b"", 200, False),
    ],
)
@pytest.mark.parametrize("accepted", [True, False], ids=["accepted by us", "by another"])
def test_a_request_is_let_in_by_its_headers(
    path: str, token: bytes, status: int, known: bool, accepted: bool
) -> None:
    reached: list[str] = []
    sent: list[Any] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    connection = Connections(Limits()).admit("peer")
    assert connection is not None
    scope: Scope = {
        "type": "http",
        "path": path,
        "headers": [(b"token", token)],
        "state": {STATE_KEY: connection} if accepted else {},
    }
    asyncio.run(Credentials(app, check)(scope, receive, send))
    assert sent[0]["status"] == status
    assert bool(reached) == (status == 200)
    assert connection.known == (known and accepted)
    if status == 401:
        headers = dict(sent[0]["headers"])
        assert headers[b"connection"] == b"close", "its body is still to come"
        assert headers[b"www-authenticate"] == b"T"
        assert json.loads(sent[1]["body"]) == {"code": 1, "detail": "No."}


def test_the_lifespan_is_let_in() -> None:
    reached: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        reached.append(scope["type"])

    asyncio.run(Credentials(app, check)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert reached == ["lifespan"]


def test_a_refusal_has_flwrs_form() -> None:
    assert refusal(413, "Too large.").content == {"detail": "Too large."}
