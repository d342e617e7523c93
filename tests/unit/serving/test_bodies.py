"""A body that is too large or too slow ends the request; whatever else does is not touched."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fedstate.serving.bodies import BoundedBodies
from fedstate.serving.limits import Limits

SWIFT = Limits(body_seconds=0.02, body_bytes_per_second=1e9)
BOUND = 100


class Client:
    """A client that sends parts of a body, then nothing, or is gone."""

    def __init__(
        self,
        *parts: bytes,
        whole: bool = True,
        declared: str | None = None,
        gone: bool = False,
    ) -> None:
        self._gone = gone
        self._parts = list(parts)
        self._whole = whole
        headers = [] if declared is None else [(b"content-length", declared.encode())]
        self._scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": "/objects",
            "query_string": b"",
            "headers": headers,
        }
        self.taken = 0
        self.sent: list[Any] = []

    async def _receive(self) -> Any:
        if not self._parts and self._gone:
            return {"type": "http.disconnect"}
        if not self._parts:
            await asyncio.Event().wait()
        self.taken += 1
        part = self._parts.pop(0)
        return {
            "type": "http.request",
            "body": part,
            "more_body": bool(self._parts) or not self._whole,
        }

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    def ask(self, app: ASGIApp, limits: Limits = SWIFT) -> tuple[int, Any]:
        bounded = BoundedBodies(app, limits, lambda _method, _path: BOUND)

        async def asked() -> None:
            await asyncio.wait_for(bounded(self._scope, self._receive, self._send), 20)

        asyncio.run(asked())
        if not self.sent:
            return 0, None
        start, *rest = self.sent
        body = b"".join(each.get("body", b"") for each in rest)
        self.headers = dict(start["headers"])
        return start["status"], json.loads(body) if body else None


async def counting(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the size of the body."""
    body = await Request(scope, receive).body()
    await JSONResponse(len(body))(scope, receive, send)


def layered() -> ASGIApp:
    """Return an application that is made as flwr's are: what is behind turns errors into 500."""

    async def translate(request: Request, call_next: RequestResponseEndpoint) -> Response:
        try:
            return await call_next(request)
        except Exception as error:  # as flwr's does
            return JSONResponse({"detail": f"internal: {error!r}"}, 500)

    async def read(request: Request, call_next: RequestResponseEndpoint) -> Response:
        request.state.size = len(await request.body())
        return await call_next(request)

    app = FastAPI()

    @app.post("/objects")
    def objects(request: Request) -> int:
        return int(request.state.size)

    app.add_middleware(BaseHTTPMiddleware, dispatch=read)
    app.add_middleware(BaseHTTPMiddleware, dispatch=translate)
    return app


APPS = pytest.mark.parametrize("app", [counting, layered()], ids=["bare", "layered"])


@APPS
@pytest.mark.parametrize("parts", [[b""], [b"x" * BOUND], [b"x"] * BOUND], ids=len)
def test_a_body_within_the_bound_arrives(app: ASGIApp, parts: Sequence[bytes]) -> None:
    size = sum(map(len, parts))
    assert Client(*parts, declared=str(size)).ask(app) == (200, size)


def test_one_that_is_declared_too_large_is_not_read() -> None:
    client = Client(b"x", declared="2147483648")
    status, answer = client.ask(counting)
    assert (status, client.taken) == (413, 0)
    sentence = "The request's body has 2147483648 bytes, and /objects takes 100 at the most."
    assert answer == {"detail": sentence}
    assert client.headers[b"connection"] == b"close"


@APPS
@pytest.mark.parametrize("declared", [None, "90", "-1", "1e9"])
def test_one_that_turns_out_too_large_is_read_no_further(
    app: ASGIApp, declared: str | None
) -> None:
    client = Client(*[b"x" * 60] * 10, declared=declared)
    status, answer = client.ask(app)
    assert (status, client.taken) == (413, 2)
    assert "/objects takes 100 at the most" in answer["detail"]
    assert client.headers[b"connection"] == b"close"


@APPS
def test_one_that_does_not_come_is_given_up(app: ASGIApp) -> None:
    client = Client(b"xyz", whole=False)
    status, answer = client.ask(app)
    assert status == 408
    assert answer["detail"].startswith("The request's body came too slowly: 3 bytes in")
    assert client.headers[b"connection"] == b"close"


def test_the_time_that_the_application_takes_does_not_count() -> None:
    async def pausing(scope: Scope, receive: Receive, send: Send) -> None:
        async def later() -> Any:
            await asyncio.sleep(3 * SWIFT.body_seconds)
            return await receive()

        await counting(scope, later, send)

    assert Client(*[b"x"] * 3).ask(pausing) == (200, 3)


def test_waiting_with_a_whole_body_has_no_limit() -> None:
    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        try:
            await asyncio.wait_for(receive(), 3 * SWIFT.body_seconds)
        except TimeoutError:  # the client is still there, as the test wants it
            await JSONResponse("waited")(scope, receive, send)

    assert Client(b"x").ask(waiting) == (200, "waited")


def test_an_application_that_handles_every_error_cannot_answer() -> None:
    async def swallowing(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(Exception):
            await Request(scope, receive).body()
        await JSONResponse("fine")(scope, receive, send)

    assert Client(b"x" * 200).ask(swallowing)[0] == 413


@pytest.mark.parametrize("layers", [1, 4])
def test_one_that_breaks_off_is_no_error_of_the_application(layers: int) -> None:
    errors: list[Exception] = []

    async def noting(request: Request, call_next: RequestResponseEndpoint) -> Response:
        try:
            await request.body()
            return await call_next(request)
        except Exception as error:
            errors.append(error)
            raise

    app = FastAPI()
    for _ in range(layers):
        app.add_middleware(BaseHTTPMiddleware, dispatch=noting)
    client = Client(b"xyz", whole=False, gone=True)
    client.ask(app)
    assert (client.sent, errors) == ([], [])


def test_an_answer_that_has_begun_is_cut_off() -> None:
    async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await Request(scope, receive).body()

    client = Client(b"x" * 200)
    assert client.ask(hasty) == (200, None)
    assert len(client.sent) == 1
