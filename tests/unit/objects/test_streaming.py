"""What is large goes around the application, in both directions; the rest goes through it."""

import asyncio
import hashlib
import os
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fedstate.exchange.messages import PushObjectsRequest
from fedstate.objects.contents import in_memory
from fedstate.objects.files import Arrival, ObjectFiles
from fedstate.objects.memory import MemoryArrival
from fedstate.objects.streaming import STREAMED_BYTES, StreamedObjects, current_transfer
from tests.small_disk import small_disk

CONTENTS = PushObjectsRequest.DESCRIPTOR.fields_by_name["contents"].number
FIRST, SMALL, SECOND = os.urandom(300_000), b"small", os.urandom(2_000_000)
REQUEST = PushObjectsRequest(
    session_id="a", object_ids=["1", "2", "3"], contents=[FIRST, SMALL, SECOND]
).SerializeToString()


class Application:
    """An application that keeps what it is given, and answers with contents from the files."""

    def __init__(self, *, keeps: bool = True) -> None:
        self.bare: Any = None
        self.contents: dict[int, bytes] = {}
        self._keeps = keeps
        self.places: list[Any] = []

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        self.bare = PushObjectsRequest.FromString(body)
        transfer = current_transfer()
        assert transfer is not None
        for index, each in transfer.arrived.items():
            self.contents[index] = in_memory(each)
            if isinstance(each, bytes):
                continue
            self.places.append((each.place, each.object_id))
            if self._keeps:
                each.arrival.keep()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


def served(
    application: Any,
    files: ObjectFiles,
    parts: Iterable[bytes],
    path: str = "/push",
    *,
    gone: bool = False,
    declared: bool = True,
    memory: type[MemoryArrival] | None = None,
) -> list[Any]:
    """Send a request in parts; return what is answered."""
    arrival = memory or partial(Arrival, files)
    app = StreamedObjects(application, arrival, {"/push": CONTENTS}, frozenset({"/pull"}))
    sent: list[Any] = []
    waiting = list(parts)
    size = str(sum(map(len, waiting))).encode()
    scope = {"path": path, "headers": [(b"content-length", size)] if declared else []}

    async def receive() -> Any:
        if not waiting and gone:
            return {"type": "http.disconnect"}
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting) or gone}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


@pytest.fixture
def files(tmp_path: Path) -> ObjectFiles:
    found = ObjectFiles(tmp_path / "objects")
    found.open([])
    return found


def names(files: ObjectFiles) -> list[str]:
    return [each.name for each in files.directory.iterdir() if each.name != "lock"]


def in_parts(message: bytes, size: int = 250_001) -> list[bytes]:
    return [message[at : at + size] for at in range(0, len(message), size)]


@pytest.mark.parametrize("declared", [True, False])
def test_large_contents_arrive_in_a_file(files: ObjectFiles, declared: bool) -> None:
    application = Application()
    answer = served(application, files, in_parts(REQUEST), declared=declared)
    assert answer[1]["body"] == b"done"
    assert application.contents == {0: FIRST, 2: SECOND}
    assert list(application.bare.contents) == [b"", SMALL, b""]
    assert list(application.bare.object_ids) == ["1", "2", "3"]
    for (place, digest), content in zip(application.places, (FIRST, SECOND), strict=True):
        assert digest == hashlib.sha256(content).hexdigest()
        assert files.content(place, digest).read() == content


@pytest.mark.parametrize("declared", [True, False])
def test_large_contents_arrive_in_memory(files: ObjectFiles, declared: bool) -> None:
    application = Application()
    answer = served(
        application, files, in_parts(REQUEST), declared=declared, memory=MemoryArrival
    )
    assert answer[1]["body"] == b"done"
    assert application.contents == {0: FIRST, 2: SECOND}
    assert list(application.bare.contents) == [b"", SMALL, b""]
    assert names(files) == []


def test_of_small_parts_few_wait_for_others(files: ObjectFiles) -> None:
    waited: list[int] = []

    class Counted(MemoryArrival):
        def take(self, parts: Iterable[int | bytes | memoryview]) -> None:
            together = list(parts)
            waited.append(len(together))
            super().take(together)

    application = Application()
    served(application, files, in_parts(REQUEST, 97), memory=Counted)
    assert application.contents == {0: FIRST, 2: SECOND}
    assert max(waited) <= 1024 + 1, "the last of them, and the size of a content"


def test_what_nobody_keeps_is_deleted(files: ObjectFiles) -> None:
    served(Application(keeps=False), files, in_parts(REQUEST))
    assert names(files) == []


def test_a_small_request_is_left_as_it_is(files: ObjectFiles) -> None:
    application = Application()
    small = PushObjectsRequest(contents=[b"x" * (STREAMED_BYTES - 100)])
    served(application, files, in_parts(small.SerializeToString()))
    assert application.bare == small
    assert names(files) == []


def test_a_client_that_goes_away_leaves_nothing(files: ObjectFiles) -> None:
    application = Application()
    assert served(application, files, in_parts(REQUEST)[:-1], gone=True) == []
    assert application.bare is None
    assert names(files) == []


class Failing(Application):
    async def __call__(self, _scope: Any, receive: Any, _send: Any) -> None:
        await receive()
        raise RuntimeError("the database is busy")


def test_an_application_that_fails_leaves_nothing(files: ObjectFiles) -> None:
    with pytest.raises(RuntimeError, match="busy"):
        served(Failing(), files, in_parts(REQUEST))
    assert names(files) == []


@pytest.mark.allowed_errors(r"The contents of a message cannot be kept")
def test_a_full_disk_is_answered_with_a_sentence(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        files = ObjectFiles(disk / "objects")
        files.open([])
        start, body = served(Application(), files, in_parts(REQUEST))
        assert (start["status"], b"disk is full" in body["body"]) == (507, True)
        assert names(files) == []


class Answering:
    """An application that answers with pieces, or with an error although it has left pieces."""

    def __init__(self, answer: Callable[[], list[Any]], status: int = 200) -> None:
        self._answer = answer
        self._status = status

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        transfer = current_transfer()
        assert transfer is not None
        transfer.answer = self._answer()
        headers = [(b"content-length", b"4"), (b"x", b"y")]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": b"bare"})


def stored(files: ObjectFiles, content: bytes) -> Any:
    with files.arrival() as arrival:
        arrival.take([len(content), content])
        arrival.finish()
        arrival.keep()
    return files.content(arrival.arrived[0].place, arrival.arrived[0].object_id)


@pytest.mark.parametrize("cached", [True, False])
def test_an_answer_with_contents_from_files_is_one_body(
    files: ObjectFiles, cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = stored(files, FIRST), stored(files, SECOND)
    if not cached:
        monkeypatch.setattr(type(first), "read_if_cached", lambda *_: None)
    answering = Answering(lambda: [b"head", b"er", first, b"between", second, b"end"])
    start, *rest = served(answering, files, [b""], "/pull")
    expected = b"header" + FIRST + b"between" + SECOND + b"end"
    assert b"".join(bytes(each["body"]) for each in rest) == expected
    assert sorted(start["headers"]) == [
        (b"content-length", str(len(expected)).encode()),
        (b"x", b"y"),
    ]
    assert [each.get("more_body", False) for each in rest] == [True] * (len(rest) - 1) + [False]


def test_an_answer_with_contents_from_memory_is_sent_in_parts(files: ObjectFiles) -> None:
    answering = Answering(lambda: [b"head", b"er", FIRST, b"between", SECOND, b"end"])
    _, *rest = served(answering, files, [b""], "/pull")
    expected = b"header" + FIRST + b"between" + SECOND + b"end"
    assert b"".join(bytes(each["body"]) for each in rest) == expected
    assert max(len(each["body"]) for each in rest) < 300_000


def test_an_error_goes_out_as_it_is(files: ObjectFiles) -> None:
    answering = Answering(lambda: [b"not", b"this"], 500)
    start, body = served(answering, files, [b""], "/pull")
    assert (start["status"], body["body"]) == (500, b"bare")


def test_a_large_message_takes_little_memory(files: ObjectFiles) -> None:
    """A hundred megabytes in and out, of which a few are in memory at once."""
    part = os.urandom(256 * 1024)
    count = 400
    head = PushObjectsRequest(contents=[b"x" * 200_000]).SerializeToString()[:1]
    size = len(part) * count

    def parts() -> Iterator[bytes]:
        encoded, value = bytearray(), size
        while value > 0x7F:
            encoded.append(value & 0x7F | 0x80)
            value >>= 7
        encoded.append(value)
        yield head + bytes(encoded)
        for _ in range(count):
            yield bytes(part)

    application = Counting()
    app = StreamedObjects(
        application, partial(Arrival, files), {"/push": CONTENTS}, frozenset({"/pull"})
    )

    async def both() -> None:
        waiting = parts()
        left = count + 1

        async def receive() -> Any:
            nonlocal left
            left -= 1
            return {"type": "http.request", "body": next(waiting), "more_body": left > 0}

        async def send(message: Any) -> None:
            application.sent += len(message.get("body", b""))

        await app({"path": "/push", "headers": []}, receive, send)
        await app({"path": "/pull", "headers": []}, receive, send)

    tracemalloc.start()
    try:
        asyncio.run(both())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert application.sent == size
    assert peak < 20 * 2**20


class Counting:
    """An application that keeps a content without looking at it, and hands it out."""

    def __init__(self) -> None:
        self.sent = 0
        self._kept: Any = None

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        transfer = current_transfer()
        assert transfer is not None
        if transfer.arrived:
            (self._kept,) = transfer.arrived.values()
            self._kept.arrival.keep()
        else:
            files = self._kept.arrival._files
            transfer.answer = [files.content(self._kept.place, self._kept.object_id)]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
