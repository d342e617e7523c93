"""How Contexts travel between the SuperNode and its ClientApps: past protobuf, not through it.

A layer around flwr's Runtime API. It takes the larger arrays out of a request before flwr reads
it and puts them into an answer after flwr has written it; flwr's own layers, which check tokens
and versions, see messages of a few kilobytes.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from fedstate import limits
from fedstate.large.wire import (
    TASK_INPUT,
    TASK_OUTPUT,
    Parts,
    in_chunks,
    put_in,
    size_of,
    take_out,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

INPUT_ROUTE = "/v1/runtime/pull-task-input"
OUTPUT_ROUTE = "/v1/runtime/push-task-output"


@dataclass
class Transfer:
    """The arrays that belong to the request that is being handled.

    Attributes
    ----------
    taken : Parts
        Those of the request, or those for the answer.
    """

    taken: Parts


_current: ContextVar[Transfer | None] = ContextVar("transfer", default=None)


def current_transfer() -> Transfer | None:
    """Return what belongs to the request that this thread handles; None outside of one."""
    return _current.get()


class LargeContexts:
    """Flwr's Runtime API, with larger arrays taken past it.

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
        transfer = Transfer(Parts())
        token = _current.set(transfer)
        try:
            if route == OUTPUT_ROUTE:
                await self._take(scope, receive, send, transfer)
            else:
                await self._app(scope, receive, _Answer(send, transfer))
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
                reason = f"A Context of more than {limits.CONTEXT_BYTES} bytes is not taken."
                await JSONResponse({"detail": reason}, 413)(scope, receive, send)
                return
        try:
            bare, transfer.taken = await run_in_threadpool(
                take_out, memoryview(body), TASK_OUTPUT
            )
        except ValueError:
            bare = bytes(body)  # flwr says what is wrong with it

        replayed: list[Message] = [{"type": "http.request", "body": bare, "more_body": False}]

        async def replay() -> "Message":
            return replayed.pop() if replayed else await receive()

        await self._app(scope, replay, send)


class _Answer:
    """Sends an answer with the arrays put into it."""

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
        if self._start["status"] == 200 and self._transfer.taken.parts:
            pieces = await run_in_threadpool(
                put_in, memoryview(self._bare), TASK_INPUT, self._transfer.taken
            )
        headers = [each for each in self._start["headers"] if each[0] != b"content-length"]
        headers.append((b"content-length", str(size_of(pieces)).encode()))
        await self._send({**self._start, "headers": headers})
        for chunk in in_chunks(pieces):
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
