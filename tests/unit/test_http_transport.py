"""HTTP over each kind of connection as httpx shows it: bodies, kept connections, and errors."""

import contextlib
import hashlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.http_transport import HttpTransport, to_address, to_socket
from fedstate.local.process import free_port
from fedstate.serving.limits import Limits
from fedstate.serving.protocol import bounded_serving
from fedstate.serving.server import Certificate, Listener, Server, SocketListener
from fedstate.unix_sockets import listen
from tests.waiting import wait_until

HOST = "127.0.0.1"
WAYS = ["a Unix socket", "TCP", "TLS"]


@dataclass
class Reached:
    """Where a server is reached, and what carries requests there."""

    url: str
    transport: Callable[[], HttpTransport]

    @contextmanager
    def client(self, timeout: float = 30) -> Iterator[httpx.Client]:
        made = self.transport()
        with httpx.Client(transport=made, base_url=self.url, timeout=timeout) as http:
            yield http


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
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    ensure_server_certificate(directory, ensure_authority(directory / "authority"), [HOST])
    return directory


def reached(way: str, path: Path, port: int, certificates: Path) -> Reached:
    if way == "a Unix socket":
        return Reached("http://localhost", lambda: to_socket(path))
    if way == "TCP":
        return Reached(f"http://{HOST}:{port}", lambda: to_address(None))
    context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    return Reached(f"https://{HOST}:{port}", lambda: to_address(context))


@pytest.fixture(scope="module", params=WAYS)
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    certificates: Path,
) -> Iterator[Reached]:
    """A server with our limits."""
    path, port = tmp_path_factory.mktemp("server") / "api.sock", free_port()
    is_socket, is_tls = request.param == "a Unix socket", request.param == "TLS"
    listener = SocketListener("API", path) if is_socket else Listener("API", HOST, port)
    certificate = Certificate(certificates / "server.crt", certificates / "server.key")
    server = Server(
        application,
        [listener],
        certificate=certificate if is_tls else None,
        **bounded_serving(Limits()),
    )
    server.open()
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    yield reached(request.param, path, port, certificates)
    server.should_exit = True
    thread.join()
    assert not path.exists()


@settings(deadline=None, max_examples=20)
@given(size=st.integers(0, 3_000_000), piece=st.integers(1, 1_500_000), known=st.booleans())
def test_what_is_sent_comes_back(server: Reached, size: int, piece: int, known: bool) -> None:
    sent = os.urandom(size)
    pieces = [sent[at : at + piece] for at in range(0, size, piece)]
    headers = {"content-length": str(size)} if known else {}
    with server.client() as http:
        given_back = http.post("/", content=iter(pieces), headers=headers)
        chunked = http.post("/chunked", content=sent)
    assert given_back.content == sent
    assert given_back.headers.get_list("x-more") == ["1", "2"]
    assert chunked.content == sent + b"the end"


def test_a_large_body_is_streamed_both_ways(server: Reached) -> None:
    piece = os.urandom(1 << 20)
    with server.client() as http:
        digest = http.post("/digest", content=iter([piece] * 20)).text
        assert digest == hashlib.sha256(piece * 20).hexdigest()
        with http.stream("POST", "/", content=piece * 20) as response:
            chunks = list(response.iter_bytes())
    assert max(map(len, chunks)) == 1 << 20
    assert b"".join(chunks) == piece * 20


def idle(transport: HttpTransport) -> int:
    """Return how many connections wait for another request."""
    return sum(map(len, transport._idle.values()))


def test_a_connection_is_used_again_and_by_one_request_at_a_time(server: Reached) -> None:
    transport = server.transport()
    with httpx.Client(transport=transport, base_url=server.url) as http:
        for _ in range(3):
            assert http.post("/", content=b"again").content == b"again"
            assert idle(transport) == 1
        with http.stream("POST", "/", content=b"one") as one:
            assert http.post("/", content=b"two").content == b"two"
            assert one.read() == b"one"
        assert idle(transport) == 2
        with http.stream("POST", "/", content=b"unread" * 100_000):
            pass
        assert idle(transport) == 1, "one of which something is unread is closed"
    assert not idle(transport)


def test_what_is_idle_for_too_long_is_closed_when_another_has_been_used(server: Reached) -> None:
    transport = server.transport()
    transport._idle_seconds = 0.01
    with httpx.Client(transport=transport, base_url=server.url) as http:
        with http.stream("POST", "/", content=b"one") as one:
            http.post("/", content=b"two")
            (first,) = next(iter(transport._idle.values()))
            wait_until(lambda: first.until < time.monotonic())
            one.read()
        assert first.socket.fileno() == -1
        assert idle(transport) == 1


def test_threads_share_a_client(server: Reached) -> None:
    wrong: list[bytes] = []

    def ask(http: httpx.Client, number: int) -> None:
        for _ in range(20):
            body = bytes([number]) * 5000
            if http.post("/", content=body).content != body:
                wrong.append(body)

    with server.client() as http:
        threads = [threading.Thread(target=ask, args=(http, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_refusal_of_a_body_is_shown(server: Reached) -> None:
    with server.client() as http:
        answered = http.post("/refused", content=iter([b"x" * (1 << 20)] * 8))
    assert (answered.status_code, answered.text) == (413, "too large")


def test_a_header_of_two_lines_is_not_sent(server: Reached) -> None:
    with server.client() as http, pytest.raises(httpx.LocalProtocolError):
        http.get("/", headers={"x-token": "one\r\nx-other: two"})


@pytest.mark.parametrize("way", WAYS)
def test_nobody_there_is_an_error_of_connecting(
    tmp_path: Path, certificates: Path, way: str
) -> None:
    gone = reached(way, tmp_path / "gone", free_port(), certificates)
    with gone.client() as http, pytest.raises(httpx.ConnectError, match=r"No such file|refused"):
        http.get("/")


def test_a_socket_that_a_server_has_left_is_an_error_of_connecting(tmp_path: Path) -> None:
    bound = listen(tmp_path / "stale", 1, what="API")
    bound.socket.close()
    left = Reached("http://localhost", lambda: to_socket(bound.path))
    with left.client() as http, pytest.raises(httpx.ConnectError, match="refused"):
        http.get("/")


def test_a_server_that_nobody_here_vouches_for_is_an_error_of_connecting(
    tmp_path: Path, certificates: Path
) -> None:
    own = ssl.create_default_context()
    other = saying(Ends("TLS", tmp_path / "s", certificates), lambda _: None)
    with (
        httpx.Client(transport=to_address(own), base_url=other.reached.url) as http,
        pytest.raises(httpx.ConnectError, match="certificate verify failed"),
    ):
        http.get("/")
    other.thread.join()


def test_a_server_that_does_not_answer_a_handshake_is_waited_for_no_longer(
    certificates: Path,
) -> None:
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        there = reached("TLS", certificates, port, certificates)
        with there.client(timeout=0.1) as http, pytest.raises(httpx.ConnectTimeout):
            http.get("/")


def test_without_tls_there_is_no_https() -> None:
    with socket.create_server((HOST, 0)) as silent:
        url = f"https://{HOST}:{silent.getsockname()[1]}"
        with (
            httpx.Client(transport=to_address(None), base_url=url) as http,
            pytest.raises(httpx.ConnectError, match="speaks no TLS"),
        ):
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


@dataclass
class Ends:
    """A way, and what its server is made with."""

    way: str
    path: Path
    certificates: Path


@dataclass
class Saying:
    """A server of one connection."""

    reached: Reached
    thread: threading.Thread


def saying(ends: Ends, act: Callable[[socket.socket], None], port: int = 0) -> Saying:
    """Serve one connection."""
    if ends.way == "a Unix socket":
        listener = listen(ends.path, 1, what="API").socket
        listener.setblocking(True)
    else:
        listener = socket.create_server((HOST, port))
        port = listener.getsockname()[1]

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
        with connection, contextlib.suppress(ssl.SSLError):
            if ends.way == "TLS":
                connection = secured(connection)
            with connection:
                connection.recv(65536)
                act(connection)

    def secured(connection: socket.socket) -> socket.socket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate, key = (ends.certificates / f"server.{each}" for each in ("crt", "key"))
        context.load_cert_chain(certificate, key)
        return context.wrap_socket(connection, server_side=True)

    thread = threading.Thread(target=serve)
    thread.start()
    return Saying(reached(ends.way, ends.path, port, ends.certificates), thread)


@pytest.fixture(params=WAYS)
def ends(request: pytest.FixtureRequest, tmp_path: Path, certificates: Path) -> Ends:
    return Ends(request.param, tmp_path / "s", certificates)


@pytest.mark.parametrize("case", SAID)
def test_an_answer_that_ends_too_early_is_an_error(ends: Ends, case: str) -> None:
    said, expected = SAID[case]
    there = saying(ends, lambda connection: connection.sendall(said))
    transport = there.reached.transport()
    with (
        httpx.Client(transport=transport, base_url=there.reached.url) as http,
        pytest.raises(expected),
    ):
        http.get("/")
    assert not idle(transport), "nobody uses such a connection again"
    there.thread.join()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"])
def test_a_server_that_says_no_more_is_waited_for_no_longer(ends: Ends, said: bytes) -> None:
    ended = threading.Event()

    def act(connection: socket.socket) -> None:
        connection.sendall(said)
        ended.wait(30)

    there = saying(ends, act)
    with there.reached.client(timeout=0.5) as http, pytest.raises(httpx.ReadTimeout):
        http.get("/")
    ended.set()
    there.thread.join()


def test_of_a_stream_each_part_is_there_when_it_has_come(ends: Ends) -> None:
    ended = threading.Event()

    def act(connection: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        connection.sendall(head + b"5\r\nfirst\r\n")
        ended.wait(30)
        connection.sendall(b"4\r\nlast\r\n0\r\n\r\n")

    there = saying(ends, act)
    with there.reached.client() as http, http.stream("GET", "/") as response:
        parts = response.iter_bytes()
        assert next(parts) == b"first"
        ended.set()
        assert list(parts) == [b"last"]
    there.thread.join()


def test_a_connection_that_the_server_has_closed_is_not_used_again(ends: Ends) -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    first = saying(ends, lambda connection: connection.sendall(whole))
    with first.reached.client() as http:
        assert http.get("/").text == "ok"
        first.thread.join()
        port = http.base_url.port or 0
        second = saying(ends, lambda connection: connection.sendall(whole), port)
        assert http.get("/").text == "ok"
        second.thread.join()
