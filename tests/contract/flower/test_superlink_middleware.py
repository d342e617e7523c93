"""The layers that flwr puts around its handlers, and those that we let requests go past."""

import asyncio

import pytest
from fastapi import FastAPI, Request, Response
from flwr.supercore.error.http import http_error_translator
from flwr.supercore.protobuf.translation import ProtobufTranslationMiddleware
from flwr.superlink.main import _get_middleware
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from fedstate.superlink.middleware import PASSED_BY, PassingBy, pass_by


def test_these_are_all_layers_and_two_are_never_passed_by() -> None:
    layers = _get_middleware()
    always = [layer for layer in layers if layer.cls not in PASSED_BY]
    assert {layer.cls for layer in layers} - {layer.cls for layer in always} == set(PASSED_BY)
    kinds: list[object] = [layer.cls for layer in always]
    assert kinds == [BaseHTTPMiddleware, ProtobufTranslationMiddleware]
    assert always[0].kwargs == {"dispatch": http_error_translator}


@pytest.mark.parametrize(
    ("layer", "prefix"),
    [(layer, prefix) for layer, prefixes in PASSED_BY.items() for prefix in prefixes],
)
def test_a_layer_does_nothing_for_what_goes_past_it(layer: type, prefix: str) -> None:
    """It has an app without any of the state that it would need, and changes no answer."""
    answer = Response("as it was", headers={"Kept": "yes"})
    calls: list[Request] = []

    async def call_next(request: Request) -> Response:
        calls.append(request)
        return answer

    request = Request(
        {"type": "http", "method": "POST", "path": f"{prefix}push-messages", "headers": []}
        | {"query_string": b"", "server": ("here", 1), "scheme": "https", "app": FastAPI()}
    )
    headers = list(answer.raw_headers)
    given = asyncio.run(layer(FastAPI()).dispatch(request, call_next))
    assert given is answer
    assert given.raw_headers == headers
    assert calls == [request]


def marking(through: list[str]) -> Middleware:
    """Return a layer that notes the paths that come through."""

    def layer(_app: ASGIApp) -> ASGIApp:
        async def call(scope: Scope, _receive: Receive, _send: Send) -> None:
            through.append(scope["path"])

        return call

    return Middleware(layer)


def test_every_other_path_goes_through() -> None:
    through: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        past.append(scope["path"])

    past: list[str] = []
    layer = PassingBy(app, marking(through), ("/v1/fleet/",))
    for path in ("/v1/fleet/x", "/v1/fleet", "/v1/control/x", "//v1/fleet/x", "/x/v1/fleet/"):
        scope = {"type": "http", "path": path}
        asyncio.run(layer(scope, None, None))  # type: ignore[arg-type]
    assert past == ["/v1/fleet/x"]
    assert through == ["/v1/fleet", "/v1/control/x", "//v1/fleet/x", "/x/v1/fleet/"]


def test_the_order_of_the_layers_stays() -> None:
    app = FastAPI(middleware=_get_middleware())
    before = list(app.user_middleware)
    pass_by(app)
    assert [layer.kwargs.get("layer", layer) for layer in app.user_middleware] == before
