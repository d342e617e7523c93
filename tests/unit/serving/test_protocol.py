"""A real server over TLS, and strangers at its port."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from tests.unit.serving.asked import TOKEN, application
from tests.waiting import wait_until

from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.local.process import free_port
from fedstate.serving.connections import Connections
from fedstate.serving.limits import Limits
from fedstate.serving.protocol import BoundedHttp, bounded_serving
from fedstate.serving.server import Certificate, Listener, Server

HOST = "127.0.0.1"
# Long enough for who is in time, on a machine that is busy.
PATIENT = Limits(strangers=8, strangers_of_peer=8, connections=32)
HASTY = replace(PATIENT, head_seconds=0.3, handshake_seconds=0.3, body_seconds=0.3)


@dataclass
class Served:
    """A server that runs, and what a client needs."""

    port: int
    connections: Connections
    context: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self.context, timeout=20)

    def plain(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), 20)

    def secure(self) -> ssl.SSLSocket:
        return self.context.wrap_socket(self.plain(), server_hostname=HOST)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    ensure_server_certificate(directory, ensure_authority(directory / "authority"), [HOST])
    return directory


@contextmanager
def serving(directory: Path, limits: Limits, loop: str = "uvloop") -> Iterator[Served]:
    options = bounded_serving(limits) | {"loop": loop}
    port = free_port()
    server = Server(
        application(limits),
        [Listener("API", HOST, port)],
        certificate=Certificate(directory / "server.crt", directory / "server.key"),
        log_config=None,
        lifespan="off",
        **options,
    )
    server.open()
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
        yield Served(port, options["accept"].__self__, context)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def patient(directory: Path) -> Iterator[Served]:
    with serving(directory, PATIENT) as served:
        yield served


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def hasty(directory: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(directory, HASTY, request.param) as served:
        yield served


def all_of(sock: socket.socket) -> bytes:
    """Return what comes until the other end closes, however it does."""
    parts = []
    sock.settimeout(20)
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    finally:
        sock.close()
    return b"".join(parts)


def test_the_parser_is_the_one_that_the_bounds_are_made_for() -> None:
    options = bounded_serving(PATIENT)
    assert options["http"] is BoundedHttp
    assert options["ws"] == "none", "nothing of ours speaks it"


def test_a_large_body_arrives_with_a_credential(patient: Served) -> None:
    with patient.client() as client:
        body = b"x" * 3_000_000
        assert client.post("/large", content=body, headers=TOKEN).json() == len(body)
        chunks = (b"x" * 100_000 for _ in range(20))
        assert client.post("/large", content=chunks, headers=TOKEN).json() == 2_000_000


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "declared"])
@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [({}, 401, "Not authenticated"), (TOKEN, 413, "/size takes 1000 at the most")],
)
def test_a_large_body_is_answered_and_not_read(
    patient: Served, headers: dict[str, str], status: int, reason: str, chunked: bool
) -> None:
    chunks = (b"x" * 100_000 for _ in range(200))
    content = chunks if chunked else b"x" * 20_000_000
    with patient.client() as client:
        answer = client.post("/size", content=content, headers=headers)
        assert answer.status_code == status
        assert reason in answer.json()["detail"]
        assert client.get("/health").json() == "well", "on a connection of its own"


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("size", [300_000, 30_000_000])
def test_who_sends_all_of_a_body_first_is_shown_the_answer(
    directory: Path, loop: str, size: int
) -> None:
    """Whatever has been read of it by then: the connection breaks after the answer, if at all."""
    with serving(directory, PATIENT, loop) as served:
        for token in (b"", b"token: right\r\n"):
            sock = served.secure()
            sock.sendall(b"POST /size HTTP/1.1\r\nhost: here\r\n" + token)
            sock.sendall(b"content-length: %d\r\n\r\n" % size)
            for _ in range(size // 100_000):
                sock.sendall(b"x" * 100_000)
            answer = all_of(sock)
            assert answer.startswith(b"HTTP/1.1 4"), answer
            assert answer.endswith(b"}")
        lingering = served.connections.lingering
        wait_until(lambda: not len(lingering))


def test_who_reads_nothing_is_not_waited_for_long(
    patient: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedstate.serving.lingering._SECONDS", 0.5)
    with patient.secure() as sock:
        sock.sendall(b"POST /size HTTP/1.1\r\nhost: here\r\ncontent-length: 2147483648\r\n\r\n")
        wait_until(lambda: len(patient.connections.lingering) == 1)
        wait_until(lambda: len(patient.connections.lingering) == 0, 20)
        sock.settimeout(20)
        with pytest.raises(OSError):  # noqa: PT011  whichever the kernel says
            sock.sendall(b"x" * 100_000_000)


def test_all_that_arrives_is_read_into_one_buffer(
    patient: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffers: list[object] = []
    received = BoundedHttp.data_received

    def noting(self: BoundedHttp, data: memoryview) -> None:
        buffers.append(getattr(data, "obj", None))
        received(self, data)  # type: ignore[arg-type]

    monkeypatch.setattr(BoundedHttp, "data_received", noting)
    for _ in range(2):
        with patient.client() as client:
            client.post("/large", content=bytes(3_000_000), headers=TOKEN)
    assert {id(each) for each in buffers} == {id(patient.connections.buffer.obj)}


def test_of_a_body_nothing_is_sent_for_who_asks_first(patient: Served) -> None:
    with patient.secure() as sock:
        sock.sendall(
            b"POST /size HTTP/1.1\r\nhost: here\r\ncontent-length: 2147483648\r\n"
            b"expect: 100-continue\r\n\r\n"
        )
        answer = all_of(sock)
    assert answer.startswith(b"HTTP/1.1 401 "), "and not 100"


@pytest.mark.parametrize(
    "head",
    [
        b"host: " + b"x" * 300_000,
        b"a: b\r\n" * 50_000,
        b"content-length: 1\r\n" + b"a: b\r\n" * 50_000,
    ],
    ids=["one header", "many headers", "many headers of a body"],
)
def test_headers_have_a_largest_size(patient: Served, head: bytes) -> None:
    sock = patient.secure()
    sock.sendall(b"POST /health HTTP/1.1\r\n" + head)
    assert all_of(sock).startswith(b"HTTP/1.1 431 ")


def test_trailers_have_a_largest_size(patient: Served) -> None:
    sock = patient.secure()
    sock.sendall(
        b"POST /large HTTP/1.1\r\nhost: here\r\ntoken: right\r\n"
        b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    )
    with pytest.raises(OSError):  # noqa: PT011  whichever the kernel says of a closed connection
        sock.sendall(b"a: b\r\n" * 10_000_000)
    sock.close()


ONE = b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n"


def test_a_few_requests_may_wait_for_the_one_before(patient: Served) -> None:
    sock = patient.secure()
    sock.sendall(ONE * 4 + ONE.replace(b"host: here", b"host: here\r\nconnection: close"))
    assert all_of(sock).count(b"HTTP/1.1 200 ") == 5


def test_thousands_may_not(patient: Served) -> None:
    sock = patient.secure()
    with contextlib.suppress(OSError):
        sock.sendall(ONE * 5_000)
    assert all_of(sock).count(b"HTTP/1.1 200 ") < 100


def test_who_goes_on_sending_after_the_answer_is_hung_up_on(
    patient: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedstate.serving.lingering._SECONDS", 0.5)
    sock = patient.secure()
    sock.sendall(b"POST /size HTTP/1.1\r\nhost: here\r\ncontent-length: 2147483648\r\n\r\n")
    assert sock.recv(12) == b"HTTP/1.1 401"

    def hung_up() -> bool:
        try:
            sock.sendall(b"x" * 1000)
        except OSError:
            return True
        return False

    wait_until(hung_up, 15, "the end of the connection")
    sock.close()


def test_a_request_may_come_before_the_end_of_the_answer_to_the_last(patient: Served) -> None:
    """The head of it, without its body: nobody has read that yet, and yet it is wanted."""
    head = b"POST /late HTTP/1.1\r\nhost: server\r\ntoken: right\r\ncontent-length: 3\r\n\r\n"
    with patient.secure() as connection:
        connection.sendall(head + b"one")
        for _ in range(3):
            answer = b""
            while not answer.endswith(b"\r\n\r\n3"):
                part = connection.recv(4096)
                assert part, f"the connection was closed after {answer!r}"
                answer += part
            connection.sendall(head)
            connection.sendall(b"two")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_request_that_comes_as_the_server_stops_is_not_answered(
    loop: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is made, but the task that opens it has not heard of that."""
    options = bounded_serving(PATIENT) | {"loop": loop}
    port = free_port()
    server = Server(
        application(PATIENT), [Listener("API", HOST, port)], lifespan="off", **options
    )
    made = BoundedHttp.connection_made

    def stop_accepting(protocol: BoundedHttp, transport: asyncio.Transport) -> None:
        made(protocol, transport)
        protocol.loop.call_soon(server.servers[0].close)

    monkeypatch.setattr(BoundedHttp, "connection_made", stop_accepting)
    server.open()
    with socket.create_connection((HOST, port), 20) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nhost: server\r\n\r\n")
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert all_of(sock) == b""
        finally:
            server.should_exit = server.force_exit = True
            thread.join()
    assert len(options["accept"].__self__) == 0
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []


def test_what_is_no_request_is_answered_and_closed(patient: Served) -> None:
    sock = patient.secure()
    sock.sendall(b"\x00\x01\x02\r\n\r\n")
    assert all_of(sock).startswith(b"HTTP/1.1 400 ")


def test_an_upgrade_is_not_taken(patient: Served) -> None:
    sock = patient.secure()
    sock.sendall(
        b"GET /health HTTP/1.1\r\nhost: here\r\nconnection: upgrade, close\r\n"
        b"upgrade: websocket\r\nsec-websocket-key: eA==\r\nsec-websocket-version: 13\r\n\r\n"
    )
    sock.shutdown(socket.SHUT_WR)
    assert b"101" not in all_of(sock)[:20]


def test_who_holds_connections_open_takes_nobodys_place(patient: Served) -> None:
    with ExitStack() as stack:
        known = stack.enter_context(patient.client())
        assert known.post("/size", content=b"x", headers=TOKEN).json() == 1
        for _ in range(100):
            stack.callback(patient.plain().close)
        for _ in range(20):
            with patient.client() as passing:
                assert passing.get("/health").json() == "well"
        assert known.post("/size", content=b"xy", headers=TOKEN).json() == 2
        wait_until(lambda: patient.connections.strangers <= PATIENT.strangers)
        assert len(patient.connections) <= PATIENT.strangers + 1


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /hea", b"GET /health HTTP/1.1\r\nhost: h"],
    ids=["nothing", "a line", "a header"],
)
@pytest.mark.parametrize("again", [False, True], ids=["first", "second"])
def test_headers_that_do_not_come_are_given_up(hasty: Served, sent: bytes, again: bool) -> None:
    sock = hasty.secure()
    if again:
        sock.sendall(b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n")
        answer = b""
        while b'"well"' not in answer:
            answer += sock.recv(65536)
    sock.sendall(sent)
    assert all_of(sock) == b"", "closed without a word"


def test_a_handshake_that_does_not_begin_is_given_up(hasty: Served) -> None:
    assert all_of(hasty.plain()) == b""
    sock = hasty.plain()
    sock.sendall(b"\x16\x03\x01\x02\x00")  # a ClientHello's first bytes
    assert all_of(sock) == b""


def test_a_body_that_does_not_come_is_given_up(hasty: Served) -> None:
    sock = hasty.secure()
    sock.sendall(
        b"POST /size HTTP/1.1\r\nhost: here\r\ntoken: right\r\ncontent-length: 9\r\n\r\nabc"
    )
    answer = all_of(sock)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"came too slowly: 3 bytes" in answer


def test_a_request_may_wait_for_longer_than_any_of_it(hasty: Served) -> None:
    with hasty.client() as client, ExitStack() as stack:
        answers: list[bool] = []
        waiting = threading.Thread(
            target=lambda: answers.append(client.post("/wait", headers=TOKEN).json())
        )
        waiting.start()
        stack.callback(waiting.join)
        # One after the other is given up meanwhile.
        for _ in range(3):
            assert all_of(hasty.plain()) == b""
        assert waiting.is_alive()
        with hasty.client() as other:
            assert other.post("/release", headers=TOKEN).status_code == 200
        waiting.join(20)
        assert answers == [True]


def test_in_the_end_nothing_is_left(hasty: Served) -> None:
    wait_until(lambda: not len(hasty.connections) and not hasty.connections.strangers)
