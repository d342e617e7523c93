"""Requests bypass exactly the middleware that is not for them, whatever their path looks like."""

import asyncio

import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from fedstate.flower.superlink_middleware import CONTROL_API_ONLY, FLEET_API_ONLY
from fedstate.superlink.middleware import (
    BYPASSES,
    BypassableMiddleware,
    bypass_middleware,
)


def noting(paths: list[str]) -> ASGIApp:
    """Return an application that notes the paths of its requests."""

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        paths.append(scope.get("path", scope["type"]))

    return app


def handle(scope: Scope) -> str:
    """Return whether a request bypassed middleware for all but the Fleet API."""
    bypassed: list[str] = []
    through: list[str] = []
    middleware = BypassableMiddleware(
        noting(bypassed), Middleware(lambda _app: noting(through)), ("/v1/fleet/",)
    )
    asyncio.run(middleware(scope, None, None))  # type: ignore[arg-type]
    assert len(bypassed) + len(through) == 1
    return "bypassed" if bypassed else "through"


def test_a_path_with_a_prefix_bypasses() -> None:
    assert handle({"type": "http", "path": "/v1/fleet/x"}) == "bypassed"


@pytest.mark.parametrize(
    "path", ["/v1/fleet", "/v1/control/x", "//v1/fleet/x", "/x/v1/fleet/", "/V1/fleet/x", ""]
)
def test_every_other_path_goes_through(path: str) -> None:
    assert handle({"type": "http", "path": path}) == "through"


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_what_is_no_request_goes_through(kind: str) -> None:
    assert handle({"type": kind, "path": "/v1/fleet/x"}) == "through"


def test_no_request_bypasses_the_middleware_of_its_own_api() -> None:
    for middleware, prefixes in BYPASSES.items():
        assert ("/v1/control/" in prefixes) == (middleware in FLEET_API_ONLY)
        assert ("/v1/fleet/" in prefixes) == (middleware in CONTROL_API_ONLY)


def test_the_order_of_the_middleware_stays_and_other_middleware_is_left_alone() -> None:
    other = Middleware(lambda app: app)
    middleware = [
        *(Middleware(each) for each in CONTROL_API_ONLY),
        other,
        *(Middleware(each) for each in FLEET_API_ONLY),
    ]
    app = FastAPI(middleware=middleware)
    bypass_middleware(app)
    assert [each.kwargs.get("wrapped", each) for each in app.user_middleware] == middleware
    assert other in app.user_middleware
    assert {each.cls for each in app.user_middleware} == {BypassableMiddleware, other.cls}
