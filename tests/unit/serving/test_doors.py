"""A listener answers its own paths and /health; what asks for another reaches nothing."""

import asyncio
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from fedstate.serving.doors import Doors


class Application:
    """An application that notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        self.asked.append(scope.get("path", scope["type"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"yes"})


@pytest.mark.parametrize(
    ("path", "answered"),
    [
        ("/health", True),
        ("/v1/fleet/pull-messages", True),
        ("/v1/fleet/", True),
        ("/v1/fleet", False),
        ("/v1/fleets/pull-messages", False),
        ("/v1/control/start-run", False),
        ("/v1/runtime/acquire-task", False),
        ("/V1/fleet/pull-messages", False),
        ("//v1/fleet/pull-messages", False),
        ("/v1/%66leet/pull-messages", True),
        ("/v1/%63ontrol/start-run", False),
        ("/health/", False),
        ("/healthy", False),
        ("/docs", False),
        ("/openapi.json", False),
        ("/", False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_path_is_answered_or_not_there(method: str, path: str, answered: bool) -> None:
    app = Application()
    answer = TestClient(Doors(app, ["/v1/fleet/"])).request(method, f"http://here{path}")
    assert answer.status_code == (200 if answered else 404)
    assert len(app.asked) == answered
    if not answered:
        assert answer.json() == {"detail": "Not Found"}


def messages_for(scope: Scope) -> tuple[Application, list[Any]]:
    app = Application()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the body was read")

    asyncio.run(Doors(app, ["/v1/fleet/"])(scope, receive, send))
    return app, sent


@pytest.mark.parametrize("path", ["/v1/control/start-run", "/v1/control/../fleet/pull-messages"])
def test_the_body_of_a_request_for_another_path_is_not_read(path: str) -> None:
    app, sent = messages_for({"type": "http", "path": path})
    assert sent[0]["status"] == 404
    assert app.asked == []


def test_a_websocket_is_closed_before_it_is_open() -> None:
    app, sent = messages_for({"type": "websocket", "path": "/v1/control/start-run"})
    assert sent == [{"type": "websocket.close"}]
    assert app.asked == []


def test_the_application_has_its_lifespan() -> None:
    app, _ = messages_for({"type": "lifespan"})
    assert app.asked == ["lifespan"]
