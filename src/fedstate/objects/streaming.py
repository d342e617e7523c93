"""Middleware that streams the contents of objects around protobuf.

It is around flwr's application. The large contents of a request are put where they are kept while
they arrive, a file or memory, and those of an answer leave from there; flwr's own middleware and
handlers see messages of a few kilobytes.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fedstate.large.wire import Buffer, in_chunks
from fedstate.logs import logger
from fedstate.objects.contents import Arrived, Content, StoredContent
from fedstate.objects.files import LARGE_BYTES, is_full
from fedstate.objects.splitting import Splitter
from fedstate.os_errors import sentence
from fedstate.serving.answers import refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A smaller request is taken as it is: it costs less in the database than in a file.
STREAMED_BYTES = 1024 * 1024
# As much is written to a file, and hashed, at once.
_WRITTEN_BYTES = 1024 * 1024
# Fewer bytes in so many parts, each of which takes memory of its own.
_WRITTEN_PARTS = 1024
# As much is read from a file, and encrypted, at once: it stays in the processor's cache.
_SENT_BYTES = 256 * 1024
_INSUFFICIENT_STORAGE = 507


class Arriving(Protocol):
    """Where the large contents of one request are kept."""

    @property
    def arrived(self) -> Sequence[Arrived | bytes]:
        """Those that are complete."""

    def take(self, parts: Iterable[int | bytes | memoryview]) -> None:
        """Take what comes: the size of a content, then its bytes in parts."""

    def finish(self) -> None:
        """Note that all has come."""

    def close(self) -> None:
        """Note that the request has been answered."""


@dataclass
class Transfer:
    """The large contents of the request that is being handled, and of its answer.

    Attributes
    ----------
    arrived : dict of int to Arrived or bytes
        Those of the request: which occurrence of the field, counted from 0, each of them is.
    answer : sequence of Content, optional
        The body of the answer, in pieces; None if it is the handler's.
    """

    arrived: dict[int, Arrived | bytes] = field(default_factory=dict)
    answer: Sequence[Content] | None = None


_current: ContextVar[Transfer | None] = ContextVar("objects", default=None)


def current_transfer() -> Transfer | None:
    """Return what is streamed around the request that this thread handles, if anything is."""
    return _current.get()


class StreamedObjects:
    """flwr's application, which the contents of objects are streamed around.

    Parameters
    ----------
    app : ASGIApp
        The application.
    arrival : callable
        Returns where what arrives with a request is kept.
    pushes : mapping of str to int
        For each path that takes contents, the number of the field with them.
    pulls : collection of str
        The paths that hand contents out.
    """

    def __init__(
        self,
        app: "ASGIApp",
        arrival: Callable[[], Arriving],
        pushes: Mapping[str, int],
        pulls: frozenset[str],
    ) -> None:
        self._app = app
        self._arrival = arrival
        self._pushes = pushes
        self._pulls = pulls

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Handle one request."""
        path = scope.get("path", "")
        transfer = Transfer()
        token = _current.set(transfer)
        try:
            if path in self._pulls:
                await self._app(scope, receive, _Response(send, transfer))
            elif path in self._pushes and _size(scope) >= STREAMED_BYTES:
                await self._take(scope, receive, send, transfer)
            else:
                await self._app(scope, receive, send)
        finally:
            _current.reset(token)

    async def _take(
        self, scope: "Scope", receive: "Receive", send: "Send", transfer: Transfer
    ) -> None:
        arrival = self._arrival()
        splitter = Splitter(self._pushes[scope["path"]], LARGE_BYTES)
        try:
            if not await _write(receive, splitter, arrival):
                return
            transfer.arrived = dict(zip(splitter.large, arrival.arrived, strict=False))
            bare: Message = {
                "type": "http.request",
                "body": splitter.rest(),
                "more_body": False,
            }
            replayed = [bare]

            async def replay() -> "Message":
                return replayed.pop() if replayed else await receive()

            await self._app(scope, replay, send)
        except OSError as error:
            if not is_full(error):
                raise
            logger.error("The contents of a message cannot be kept: %s", sentence(error))
            reason = "The SuperLink's disk is full: free space there, and try again."
            await refusal(_INSUFFICIENT_STORAGE, reason).send(send)
        finally:
            arrival.close()


async def _write(receive: "Receive", splitter: Splitter, arrival: Arriving) -> bool:
    """Keep the large contents of a request; return whether all of it has come.

    One part is taken, and written and hashed, on a thread while the next one arrives.
    """
    loop = asyncio.get_running_loop()
    writing: asyncio.Future[None] | None = None
    parts: list[int | memoryview] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return False
        more = message.get("more_body", False)
        for part in splitter.feed(message.get("body", b"")):
            parts.append(part)
            size += 0 if isinstance(part, int) else len(part)
        if size >= _WRITTEN_BYTES or len(parts) >= _WRITTEN_PARTS:
            if writing is not None:
                await writing
            writing = loop.run_in_executor(None, arrival.take, parts)
            # If the request is cancelled, nobody awaits the last write, nor sees its error.
            writing.add_done_callback(lambda done: done.cancelled() or done.exception())
            parts, size = [], 0
    if writing is not None:
        await writing
    await loop.run_in_executor(None, _finish, arrival, parts)
    return True


def _finish(arrival: Arriving, parts: list[int | memoryview]) -> None:
    arrival.take(parts)
    arrival.finish()


class _Response:
    """Sends a response, or what a handler has left in its place."""

    def __init__(self, send: "Send", transfer: Transfer) -> None:
        self._send = send
        self._transfer = transfer
        self._start: Any = None

    async def __call__(self, message: "Message") -> None:
        if message["type"] == "http.response.start" and self._is_replaced(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        elif not message.get("more_body", False):
            await self._stream(self._transfer.answer or ())

    def _is_replaced(self, start: "Message") -> bool:
        return self._transfer.answer is not None and start["status"] == 200

    async def _stream(self, answer: Sequence[Content]) -> None:
        size = sum(len(each) for each in answer)
        headers = [each for each in self._start["headers"] if each[0] != b"content-length"]
        headers.append((b"content-length", str(size).encode()))
        await self._send({**self._start, "headers": headers})
        # What is small goes with what comes next: each part is encrypted on its own.
        small = bytearray()
        for piece in answer:
            if isinstance(piece, bytes) and len(piece) < LARGE_BYTES:
                small += piece
                continue
            if small:
                await self._part(bytes(small))
                small.clear()
            if isinstance(piece, bytes):
                for part in in_chunks([piece], _SENT_BYTES):
                    await self._part(part)
            else:
                await self._file(piece)
        await self._send({"type": "http.response.body", "body": bytes(small)})

    async def _file(self, piece: StoredContent) -> None:
        for offset in range(0, len(piece), _SENT_BYTES):
            size = min(_SENT_BYTES, len(piece) - offset)
            data: bytes | bytearray | None = piece.read_if_cached(offset, size)
            if data is None:
                data = await asyncio.to_thread(piece.read, offset, size)
            await self._part(data)

    async def _part(self, data: Buffer | bytearray) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})


def _size(scope: "Scope") -> int:
    """Return the size that a request's body is said to have; that of one that is not is large."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return STREAMED_BYTES
