"""Middleware that streams large arrays around protobuf.

It is around flwr's Runtime API. It splits the larger arrays from a request before flwr reads the
request, and joins them to a response after flwr has written it; flwr's own middleware, which
checks tokens and versions, handles messages of a few kilobytes.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from fedstate import limits
from fedstate.flower.field_numbers import TASK_INPUT, TASK_OUTPUT
from fedstate.large.wire import (
    LargeArrays,
    in_chunks,
    join_message,
    size_of,
    split_message,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

INPUT_ROUTE = "/v1/runtime/pull-task-input"
OUTPUT_ROUTE = "/v1/runtime/push-task-output"


@dataclass
class Transfer:
    """The larger arrays of the request that is being handled.

    Attributes
    ----------
    arrays : LargeArrays
        Those of the request, or those for the response.
    """

    arrays: LargeArrays


_current: ContextVar[Transfer | None] = ContextVar("transfer", default=None)


def current_transfer() -> Transfer | None:
    """Return the arrays of the request that this thread handles; None outside of a request."""
    return _current.get()


class LargeContexts:
    """flwr's Runtime API, which larger arrays are streamed around.

    Parameters
    ----------
    app : ASGIApp
        flwr's application.
    """

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Handle one request."""
        route = scope.get("path")
        if route not in (INPUT_ROUTE, OUTPUT_ROUTE):
            await self._app(scope, receive, send)
            return
        transfer = Transfer(LargeArrays())
        token = _current.set(transfer)
        try:
            if route == OUTPUT_ROUTE:
                await self._take(scope, receive, send, transfer)
            else:
                await self._app(scope, receive, _Response(send, transfer))
        finally:
            _current.reset(token)

    async def _take(
        self, scope: "Scope", receive: "Receive", send: "Send", transfer: Transfer
    ) -> None:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limits.CONTEXT_BYTES:
                reason = f"A Context of more than {limits.CONTEXT_BYTES} bytes cannot be stored."
                await JSONResponse({"detail": reason}, 413)(scope, receive, send)
                return
        try:
            bare, transfer.arrays = await run_in_threadpool(
                split_message, memoryview(body), TASK_OUTPUT
            )
        except ValueError:
            bare = bytes(body)  # flwr reports what is wrong with it

        replayed: list[Message] = [{"type": "http.request", "body": bare, "more_body": False}]

        async def replay() -> "Message":
            return replayed.pop() if replayed else await receive()

        await self._app(scope, replay, send)


class _Response:
    """Sends a response with the larger arrays joined to it."""

    def __init__(self, send: "Send", transfer: Transfer) -> None:
        self._send = send
        self._transfer = transfer
        self._start: Any = None
        self._bare = bytearray()

    async def __call__(self, message: "Message") -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._bare += message.get("body", b"")
        if message.get("more_body", False):
            return
        pieces: Sequence[bytes | memoryview] = [memoryview(self._bare)]
        if self._start["status"] == 200 and self._transfer.arrays.contents:
            pieces = await run_in_threadpool(
                join_message, memoryview(self._bare), TASK_INPUT, self._transfer.arrays
            )
        headers = [each for each in self._start["headers"] if each[0] != b"content-length"]
        headers.append((b"content-length", str(size_of(pieces)).encode()))
        await self._send({**self._start, "headers": headers})
        for chunk in in_chunks(pieces):
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
