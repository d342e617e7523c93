"""An answer that goes on ends when the account that asked is none any longer."""

import asyncio
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedstate.accounts import streams
from fedstate.accounts.tokens import revoked_token

PATH = "/v1/control/stream-logs"


class Stream:
    """An application that answers for as long as it is let, and the answer."""

    def __init__(self, *, begins: bool = True, parts: int | None = None) -> None:
        self.admitted = True
        self.checked = asyncio.Event()
        self.sent: list[Message] = []
        self._begins = begins
        self._parts = parts
        self._ended = asyncio.Event()
        self.app: ASGIApp = self._app

    async def _app(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        if self._begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if self._parts is None:
            await self._ended.wait()
        await send({"type": "http.response.body", "body": b"all"})

    def _check(self) -> None:
        self.checked.set()
        if not self.admitted:
            raise revoked_token("alice")

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def end(self) -> None:
        self._ended.set()

    async def answer(self) -> None:
        async def receive() -> Message:
            raise AssertionError("nothing is asked for")

        await streams.answer_while_admitted(
            self.app,
            {"type": "http", "path": PATH},
            receive,
            self._send,
            check=self._check,
            last_words=lambda path, sentence: f"{path}: {sentence}".encode(),
        )

    @property
    def body(self) -> Any:
        return self.sent[-1]["body"]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.001)


def test_an_answer_that_goes_on_ends_with_its_account() -> None:
    async def run() -> Stream:
        stream = Stream()
        answering = asyncio.create_task(stream.answer())
        await stream.checked.wait()
        stream.admitted = False
        await asyncio.wait_for(answering, 10)
        return stream

    stream = asyncio.run(run())
    assert [each["type"] for each in stream.sent] == [
        "http.response.start",
        "http.response.body",
    ]
    assert stream.body.decode() == f"{PATH}: {revoked_token('alice')}"


def test_a_call_that_was_allowed_and_has_not_answered_is_done() -> None:
    async def run() -> Stream:
        stream = Stream(begins=False)
        stream.admitted = False
        answering = asyncio.create_task(stream.answer())
        for _ in range(3):
            stream.checked.clear()
            await asyncio.wait_for(stream.checked.wait(), 10)
        stream.end()
        await asyncio.wait_for(answering, 10)
        return stream

    assert asyncio.run(run()).body == b"all"


def test_an_answer_at_once_is_not_checked_again() -> None:
    async def run() -> Stream:
        stream = Stream(parts=1)
        await stream.answer()
        return stream

    stream = asyncio.run(run())
    assert stream.body == b"all"
    assert not stream.checked.is_set()


def test_what_the_application_raises_is_raised() -> None:
    async def fails(*_: Any) -> None:
        raise RuntimeError("a bug")

    async def run() -> None:
        stream = Stream()
        stream.app = fails
        await stream.answer()

    with pytest.raises(RuntimeError, match="a bug"):
        asyncio.run(run())
