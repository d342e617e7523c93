"""HTTP over a Unix socket as httpx shows it: bodies, connections that are kept, and errors."""

import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.serving.limits import Limits
from fedstate.serving.protocol import bounded_serving
from fedstate.serving.server import Server, SocketListener
from fedstate.socket_transport import SocketTransport
from fedstate.unix_sockets import listen
from tests.waiting import wait_until

URL = "http://localhost"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body that came, in pieces of the size that the path names."""
    if scope["type"] != "http":
        return
    if scope["path"] == "/refused":
        await answer(send, 413, b"too large")
        return
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/digest":
        await answer(send, 200, hashlib.sha256(body).hexdigest().encode())
    elif scope["path"] == "/chunked":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(body), "more_body": True})
        await send({"type": "http.response.body", "body": b"the end", "more_body": False})
    else:
        await answer(send, 200, bytes(body))


async def answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode()), (b"x-more", b"1"), (b"x-more", b"2")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a server with our limits."""
    path = tmp_path_factory.mktemp("server") / "api.sock"
    listener = SocketListener("API", path)
    server = Server(application, [listener], **bounded_serving(Limits()))
    server.open()
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    yield path
    server.should_exit = True
    thread.join()
    assert not path.exists()


@contextmanager
def client(path: Path) -> Iterator[httpx.Client]:
    with httpx.Client(transport=SocketTransport(path), base_url=URL, timeout=30) as made:
        yield made


@settings(deadline=None, max_examples=20)
@given(size=st.integers(0, 3_000_000), piece=st.integers(1, 1_500_000), known=st.booleans())
def test_what_is_sent_comes_back(path: Path, size: int, piece: int, known: bool) -> None:
    sent = os.urandom(size)
    pieces = [sent[at : at + piece] for at in range(0, size, piece)]
    headers = {"content-length": str(size)} if known else {}
    with client(path) as http:
        given_back = http.post("/", content=iter(pieces), headers=headers)
        chunked = http.post("/chunked", content=sent)
    assert given_back.content == sent
    assert given_back.headers.get_list("x-more") == ["1", "2"]
    assert chunked.content == sent + b"the end"


def test_a_large_body_is_streamed_both_ways(path: Path) -> None:
    piece = os.urandom(1 << 20)
    with client(path) as http:
        digest = http.post("/digest", content=iter([piece] * 20)).text
        assert digest == hashlib.sha256(piece * 20).hexdigest()
        with http.stream("POST", "/", content=piece * 20) as response:
            chunks = list(response.iter_bytes())
    assert max(map(len, chunks)) == 1 << 20
    assert b"".join(chunks) == piece * 20


def test_a_connection_is_used_again_and_by_one_request_at_a_time(path: Path) -> None:
    transport = SocketTransport(path)
    with httpx.Client(transport=transport, base_url=URL) as http:
        for _ in range(3):
            assert http.post("/", content=b"again").content == b"again"
            assert len(transport._idle) == 1
        with http.stream("POST", "/", content=b"one") as one:
            assert http.post("/", content=b"two").content == b"two"
            assert one.read() == b"one"
        assert len(transport._idle) == 2
        with http.stream("POST", "/", content=b"unread" * 100_000):
            pass
        assert len(transport._idle) == 1, "one of which something is unread is closed"
    assert not transport._idle


def test_threads_share_a_client(path: Path) -> None:
    wrong: list[bytes] = []

    def ask(http: httpx.Client, number: int) -> None:
        for _ in range(20):
            body = bytes([number]) * 5000
            if http.post("/", content=body).content != body:
                wrong.append(body)

    with client(path) as http:
        threads = [threading.Thread(target=ask, args=(http, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_refusal_of_a_body_is_shown(path: Path) -> None:
    with client(path) as http:
        answered = http.post("/refused", content=iter([b"x" * (1 << 20)] * 8))
    assert (answered.status_code, answered.text) == (413, "too large")


def test_a_header_of_two_lines_is_not_sent(path: Path) -> None:
    with client(path) as http, pytest.raises(httpx.LocalProtocolError):
        http.get("/", headers={"x-token": "one\r\nx-other: two"})


def test_nobody_there_is_an_error_of_connecting(tmp_path: Path) -> None:
    with (
        client(tmp_path / "gone") as http,
        pytest.raises(httpx.ConnectError, match="No such file"),
    ):
        http.get("/")
    bound = listen(tmp_path / "stale", 1, what="API")
    bound.socket.close()
    with client(bound.path) as http, pytest.raises(httpx.ConnectError, match="refused"):
        http.get("/")


SAID: dict[str, tuple[bytes, type[httpx.TransportError]]] = {
    "nothing": (b"", httpx.RemoteProtocolError),
    "no HTTP": (b"SSH-2.0-hello\r\n", httpx.RemoteProtocolError),
    "half of the headers": (b"HTTP/1.1 200 OK\r\ncontent-le", httpx.RemoteProtocolError),
    "half of the body": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        httpx.RemoteProtocolError,
    ),
    "half of a chunk": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nhalf",
        httpx.RemoteProtocolError,
    ),
}


def saying(path: Path, act: Callable[[socket.socket], None]) -> threading.Thread:
    """Serve one connection."""
    bound = listen(path, 1, what="API")
    bound.socket.setblocking(True)

    def serve() -> None:
        with bound.socket:
            connection, _ = bound.socket.accept()
        with connection:
            connection.recv(65536)
            act(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize("case", SAID)
def test_an_answer_that_ends_too_early_is_an_error(tmp_path: Path, case: str) -> None:
    said, expected = SAID[case]
    thread = saying(tmp_path / "s", lambda connection: connection.sendall(said))
    transport = SocketTransport(tmp_path / "s")
    with httpx.Client(transport=transport, base_url=URL) as http, pytest.raises(expected):
        http.get("/")
    assert not transport._idle, "nobody uses such a connection again"
    thread.join()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"])
def test_a_server_that_says_no_more_is_waited_for_no_longer(tmp_path: Path, said: bytes) -> None:
    ended = threading.Event()

    def act(connection: socket.socket) -> None:
        connection.sendall(said)
        ended.wait(30)

    thread = saying(tmp_path / "s", act)
    transport = SocketTransport(tmp_path / "s")
    with (
        httpx.Client(transport=transport, base_url=URL, timeout=0.1) as http,
        pytest.raises(httpx.ReadTimeout),
    ):
        http.get("/")
    ended.set()
    thread.join()


def test_a_connection_that_the_server_has_closed_is_not_used_again(tmp_path: Path) -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    first = saying(tmp_path / "s", lambda connection: connection.sendall(whole))
    with client(tmp_path / "s") as http:
        assert http.get("/").text == "ok"
        first.join()
        second = saying(tmp_path / "s", lambda connection: connection.sendall(whole))
        assert http.get("/").text == "ok"
        second.join()
