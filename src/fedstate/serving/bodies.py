"""Bodies of requests have a largest size, and come at a rate."""

import asyncio
import time
from collections.abc import Callable

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedstate.serving.answers import Refusal, refusal
from fedstate.serving.limits import Limits

# Returns the largest body that a request may have, by its method and path.
Bound = Callable[[str, str], int]


class BoundedBodies:
    """An application whose requests have bodies of a bounded size, which arrive in time.

    A body that is declared to be too large is not read at all. One that turns out to be too
    large, or that comes too slowly, ends the request there.

    Parameters
    ----------
    app : ASGI application
        The application.
    limits : Limits
        How slowly a body may come.
    bound : callable
        How large it may be.
    """

    def __init__(self, app: ASGIApp, limits: Limits, bound: Bound) -> None:
        self._app = app
        self._limits = limits
        self._bound = bound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bound = self._bound(scope["method"], scope["path"])
        if (size := _declared(scope)) > bound:
            await _too_large(scope, f"{size} bytes", bound).send(send)
            return
        with anyio.CancelScope() as request:
            body = _Body(scope, receive, send, self._limits, bound, request)
            await self._app(scope, body.receive, body.send)
        await body.answer()


class _Body:
    """The body of one request, and the answer to it."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        limits: Limits,
        bound: int,
        request: anyio.CancelScope,
    ) -> None:
        self._refused: Refusal | None = None
        self._request = request
        self._scope = scope
        self._receive = receive
        self._send = send
        self._limits = limits
        self._bound = bound
        self._size = 0
        self._waited = 0.0
        self._whole = False
        self._started = False

    async def receive(self) -> Message:
        """Return the next part of the body; afterwards, whether the client has disconnected."""
        if self._whole:
            return await self._receive()
        began = time.monotonic()
        allowed = self._limits.body_seconds + self._size / self._limits.body_bytes_per_second
        try:
            # Only the time in which the client is waited for: the application may be slow, too.
            async with asyncio.timeout(max(allowed - self._waited, 0)):
                message = await self._receive()
        except TimeoutError:
            return await self._end(
                refusal(
                    408,
                    f"The request's body came too slowly: {self._size} bytes in {allowed:.0f} s.",
                )
            )
        if message["type"] == "http.disconnect":
            return await self._end(None)
        self._waited += time.monotonic() - began
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._size > self._bound:
            return await self._end(_too_large(self._scope, "more", self._bound))
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the application's answer."""
        self._started = True
        await self._send(message)

    async def answer(self) -> None:
        """Answer a request that has been refused; once the answer has begun, it is cut off."""
        if self._refused is not None and not self._started:
            await self._refused.send(self._send)

    async def _end(self, answer: Refusal | None) -> Message:
        """End the request here: the application is cancelled, and has nothing to report.

        An error would pass through flwr's middleware, which logs it as one of the server's.
        """
        self._refused = answer
        self._request.cancel()
        await anyio.sleep_forever()
        raise AssertionError("it is cancelled")


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _too_large(scope: Scope, size: str, bound: int) -> Refusal:
    return refusal(
        413, f"The request's body has {size}, and {scope['path']} takes {bound} at the most."
    )
