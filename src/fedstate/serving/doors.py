"""Which listener answers which paths."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

# Whoever reaches a listener may ask whether its server is well.
HEALTH = "/health"

_NOT_FOUND = b'{"detail":"Not Found"}'
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_NOT_FOUND)).encode()),
]


class Doors:
    """An application of which some paths are answered; every other path is not there.

    It is around all middleware of the application, which a request to another path does not
    reach: such a request is answered with 404, and its body is not read.

    Parameters
    ----------
    app : ASGI application
        The application.
    paths : sequence of str
        Beginnings of the paths that it answers, beside ``/health``; each ends with a slash.
    """

    def __init__(self, app: ASGIApp, paths: Sequence[str]) -> None:
        self._app = app
        self._paths = tuple(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, a WebSocket's opening or the lifespan."""
        path = scope.get("path", HEALTH)  # a lifespan has none
        if path == HEALTH or path.startswith(self._paths):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before it was accepted: 403
        else:
            await send({"type": "http.response.start", "status": 404, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": _NOT_FOUND})
