"""Credentials are checked before anything of a request's body is read.

flwr reads a body as a whole and parses it before it looks who has sent it, so that a stranger's
request takes as much memory as it likes. Here what the headers prove is checked first. flwr's own
checks stay behind this one: they see the body, too.
"""

from collections.abc import Awaitable, Callable, Hashable

from starlette.types import ASGIApp, Receive, Scope, Send

from fedstate.serving.answers import Refusal
from fedstate.serving.protocol import connection_of


class RefusedError(Exception):
    """The headers of a request do not prove what they have to.

    Parameters
    ----------
    answer : Refusal
        What the request is answered with.
    """

    def __init__(self, answer: Refusal) -> None:
        super().__init__(answer.content)
        self.answer = answer


# Checks a request by its headers; returns whose credential was verified, and something false
# where none is asked for; raises RefusedError.
Check = Callable[[Scope], Awaitable[Hashable]]


class Credentials:
    """An application whose requests are checked by their headers first.

    Parameters
    ----------
    app : ASGI application
        The application.
    check : callable
        The check.
    """

    def __init__(self, app: ASGIApp, check: Check) -> None:
        self._app = app
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http":
            try:
                who = await self._check(scope)
            except RefusedError as error:
                await error.answer.send(send)
                return
            if who and (connection := connection_of(scope)) is not None:
                connection.verified(who)
        await self._app(scope, receive, send)
