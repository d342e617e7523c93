"""A way around flwr's middleware, for requests that it has nothing to do with.

flwr puts eight pieces of middleware around every handler. Six look at the request's path, and do
something for the Control API alone or for the Fleet API alone; but middleware that only passes a
request on costs as much as a query of the database.
"""

from collections.abc import Mapping, Sequence

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from fedstate.flower.superlink_middleware import CONTROL_API_ONLY, FLEET_API_ONLY

CONTROL, FLEET, RUNTIME = "/v1/control/", "/v1/fleet/", "/v1/runtime/"

# For each middleware, the beginnings of the paths that bypass it; every other path goes through.
BYPASSES: Mapping[object, tuple[str, ...]] = {
    **dict.fromkeys(CONTROL_API_ONLY, (FLEET, RUNTIME)),
    **dict.fromkeys(FLEET_API_ONLY, (CONTROL, RUNTIME)),
}


class BypassableMiddleware:
    """Middleware that requests to certain paths do not go through.

    Parameters
    ----------
    app : ASGI application
        The application that the middleware is around.
    wrapped : Middleware
        The middleware.
    prefixes : sequence of str
        Beginnings of the paths that bypass it.
    """

    def __init__(self, app: ASGIApp, wrapped: Middleware, prefixes: Sequence[str]) -> None:
        self._app = app
        self._wrapped = wrapped.cls(app, *wrapped.args, **wrapped.kwargs)
        self._prefixes = tuple(prefixes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request with the middleware or without it."""
        bypass = scope["type"] == "http" and scope["path"].startswith(self._prefixes)
        await (self._app if bypass else self._wrapped)(scope, receive, send)


def bypass_middleware(app: FastAPI) -> None:
    """Let requests to flwr's SuperLink bypass the middleware that does nothing for them."""
    app.user_middleware = [
        Middleware(BypassableMiddleware, wrapped=each, prefixes=BYPASSES[each.cls])
        if each.cls in BYPASSES
        else each
        for each in app.user_middleware
    ]
