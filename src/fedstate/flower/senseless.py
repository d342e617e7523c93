"""Requests whose message can be decoded and makes no sense are their senders' mistake.

flwr's handlers check some of what a message says. For the rest they raise whatever comes of it,
an IndexError for a list that is empty, say, and flwr answers with 500, as if the server had
failed: whoever sent it tries again, and the log tells of errors that are none.
"""

from zipfile import BadZipFile

from fastapi import FastAPI

# What a message without content or with both content and error comes to.
from flwr.app.message import MessageInitializationError
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from fedstate.flower.fab_bounds import check_fabs
from fedstate.flower.routing import malformed_request

# What comes of values. A database that is busy, or a file that cannot be read, raises others.
_SENSELESS = (
    ValueError,
    LookupError,
    ArithmeticError,
    MessageInitializationError,
    BadZipFile,
    DecodeError,
)
_LONGEST = 300


class Sensible:
    """An application behind flwr's middleware, whose handlers fail for messages without sense.

    Parameters
    ----------
    app : ASGI application
        The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        message = scope.get("state", {}).get("protobuf_request")
        if message is None:
            await self._app(scope, receive, send)
            return
        check_fabs(message)
        try:
            await self._app(scope, receive, send)
        except _SENSELESS as error:
            reason = " ".join(str(error).split())[:_LONGEST]
            raise malformed_request(f"{type(error).__name__}: {reason}") from error


def refuse_senseless(app: FastAPI) -> None:
    """Answer messages that make no sense with 400; innermost, where the message is known."""
    app.user_middleware.append(Middleware(Sensible))
