"""The layers around flwr's handlers, passed by for requests that they have nothing to do with.

flwr puts eight layers around every handler. Six look at the request's path, and do something for
the Control API alone or for the Fleet API alone; but a layer that only hands a request on costs
as much as a query of the database.
"""

from collections.abc import Sequence

from fastapi import FastAPI

# What each of flwr's layers is for; `create_app` has no option to leave one out.
from flwr.superlink.routers.control.middlewares import (
    ControlAuthenticationMiddleware,
    ControlEventLogMiddleware,
    ControlLicenseMiddleware,
    ControlSensitiveResponseMiddleware,
)
from flwr.superlink.routers.fleet.middlewares import FleetEventLogMiddleware
from flwr.superlink.routers.fleet.node_auth import NodeAuthMiddleware
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

CONTROL, FLEET, RUNTIME = "/v1/control/", "/v1/fleet/", "/v1/runtime/"

# For each layer, the paths for which it does nothing; any other path goes through it.
PASSED_BY: dict[object, tuple[str, ...]] = {
    ControlSensitiveResponseMiddleware: (FLEET, RUNTIME),
    ControlAuthenticationMiddleware: (FLEET, RUNTIME),
    ControlLicenseMiddleware: (FLEET, RUNTIME),
    ControlEventLogMiddleware: (FLEET, RUNTIME),
    NodeAuthMiddleware: (CONTROL, RUNTIME),
    FleetEventLogMiddleware: (CONTROL, RUNTIME),
}


class PassingBy:
    """A layer, and the way past it.

    Parameters
    ----------
    app : ASGI application
        What the layer is around.
    layer : Middleware
        The layer.
    prefixes : sequence of str
        Beginnings of the paths that go past it.
    """

    def __init__(self, app: ASGIApp, layer: Middleware, prefixes: Sequence[str]) -> None:
        self._past = app
        self._through = layer.cls(app, *layer.args, **layer.kwargs)
        self._prefixes = tuple(prefixes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request through the layer, or past it."""
        past = scope["type"] == "http" and scope["path"].startswith(self._prefixes)
        await (self._past if past else self._through)(scope, receive, send)


def pass_by(app: FastAPI) -> None:
    """Let requests to an app of flwr's go past the layers that do nothing for them."""
    app.user_middleware = [
        Middleware(PassingBy, layer=layer, prefixes=PASSED_BY[layer.cls])
        if layer.cls in PASSED_BY
        else layer
        for layer in app.user_middleware
    ]
