"""One application on several listeners: what each answers, how it ends, how it is changed."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from tests.waiting import wait_until

from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.errors import CertificateError, FederationError
from fedstate.local.process import free_port
from fedstate.serving.limits import Limits
from fedstate.serving.protocol import bounded_serving
from fedstate.serving.server import Certificate, Listener, Server, SocketListener
from fedstate.unix_sockets import connect

HOST = "127.0.0.1"


class Application:
    """An application with a path for each of two listeners, and requests that wait."""

    def __init__(self) -> None:
        self.lifespans: list[str] = []
        self.waiting = threading.Event()
        self.released = threading.Event()
        self.app = FastAPI(lifespan=self._lifespan)
        self.app.get("/health")(lambda: "well")
        self.app.get("/v1/one/who")(self._who)
        self.app.get("/v1/one/nobody")(self._nobody)
        self.app.get("/v1/two/wait")(self._wait)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self.lifespans.append("begun")
        yield
        self.lifespans.append("ended")

    async def _who(self, request: Request) -> str:
        assert request.client is not None
        return request.client.host

    async def _nobody(self, request: Request) -> str:
        return "nobody" if request.client is None else request.client.host

    async def _wait(self) -> str:
        self.waiting.set()
        while not self.released.is_set():
            await asyncio.sleep(0.01)
        return "released"


def listeners() -> list[Listener]:
    return [
        Listener("One API", HOST, free_port(), "--one", ["/v1/one/"]),
        Listener("Two API", HOST, free_port(), "--two", ["/v1/two/"]),
    ]


@contextmanager
def running(server: Server) -> Iterator[None]:
    server.open()
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield
    finally:
        server.should_exit = True
        thread.join()


def url(listener: Listener, path: str, scheme: str = "http") -> str:
    return f"{scheme}://{listener.address}{path}"


def test_each_listener_answers_its_own_paths_in_one_application() -> None:
    served = Application()
    one, two = here = listeners()
    with running(Server(served.app, here, log_config=None)):
        served.released.set()
        answers = {
            (listener.name, path): httpx.get(url(listener, path)).status_code
            for listener in here
            for path in ("/health", "/v1/one/who", "/v1/two/wait", "/docs", "/openapi.json")
        }
    assert {asked for asked, status in answers.items() if status == 200} == {
        (one.name, "/health"),
        (one.name, "/v1/one/who"),
        (two.name, "/health"),
        (two.name, "/v1/two/wait"),
    }
    assert {status for status in answers.values() if status != 200} == {404}
    assert served.lifespans == ["begun", "ended"]


def test_a_socket_is_a_listener_without_tls(tmp_path: Path) -> None:
    served = Application()
    port = Listener("Two API", HOST, free_port(), "--two", ["/v1/two/"])
    socket_listener = SocketListener("One API", tmp_path / "api.sock", ["/v1/one/"])
    files = certificate(tmp_path)
    server = Server(served.app, [port, socket_listener], certificate=files, log_config=None)
    with running(server):
        context = ssl.create_default_context(cafile=tmp_path / "ca.crt")
        assert httpx.get(url(port, "/health", "https"), verify=context).status_code == 200
        transport = httpx.HTTPTransport(uds=str(socket_listener.path))
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            assert client.get("/health").status_code == 200
            assert client.get("/v1/one/nobody").json() == "nobody", "who asks has no address"
            assert client.get("/v1/two/wait").status_code == 404
    assert not socket_listener.path.exists()
    assert served.lifespans == ["begun", "ended"]


def test_a_socket_that_is_taken_leaves_nothing_open(tmp_path: Path) -> None:
    app, path = Application().app, tmp_path / "api.sock"
    with running(Server(app, [SocketListener("API", path)], log_config=None)):
        here = Listener("One API", HOST, free_port())
        problem = f"Two API cannot be served on '{path}', where another server listens"
        with pytest.raises(FederationError, match=problem):
            Server(app, [here, SocketListener("Two API", path)], log_config=None).open()
        with socket.create_server((HOST, here.port)):
            pass
        assert path.is_socket()


def test_users_of_a_socket_are_bounded_one_by_one(tmp_path: Path) -> None:
    limits = Limits(connections=8, strangers=4, strangers_of_peer=2)
    path = tmp_path / "api.sock"
    server = Server(
        Application().app,
        [SocketListener("API", path)],
        log_config=None,
        **bounded_serving(limits),
    )
    with running(server):
        held = [connect(path, 10) for _ in range(3)]
        assert held[0].recv(1) == b"", "the longest idle of the same user gives way"
        held[2].sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert held[2].recv(100).startswith(b"HTTP/1.1 200")
        held[1].sendall(b"x" * 70_000)
        assert b" 4" in held[1].recv(100)[:15], "headers are bounded, too"
        for each in held:
            each.close()


def test_a_listener_without_paths_answers_all() -> None:
    served = Application()
    served.released.set()
    here = Listener("API", HOST, free_port())
    with running(Server(served.app, [here], log_config=None)):
        for path in ("/health", "/v1/one/who", "/v1/two/wait"):
            assert httpx.get(url(here, path)).status_code == 200


def test_requests_under_way_are_finished_and_no_listener_takes_more() -> None:
    served = Application()
    one, two = here = listeners()
    answers: list[str] = []
    server = Server(served.app, here, log_config=None)
    with running(server):
        client = threading.Thread(
            target=lambda: answers.append(httpx.get(url(two, "/v1/two/wait"), timeout=30).text)
        )
        client.start()
        assert served.waiting.wait(30)
        server.should_exit = True

        def refused(listener: Listener) -> bool:
            with socket.socket() as probe:
                return probe.connect_ex((listener.host, listener.port)) != 0

        wait_until(lambda: refused(one) and refused(two))
        assert served.lifespans == ["begun"], "its requests still need it"
        served.released.set()
        client.join()
    assert answers == ['"released"']
    assert served.lifespans == ["begun", "ended"]


def test_a_taken_port_is_said_with_its_listener_and_leaves_nothing_open() -> None:
    served = Application()
    one, two = here = listeners()
    with socket.create_server((HOST, two.port)):
        server = Server(served.app, here, log_config=None)
        said = (
            rf"^The Two API cannot be served on {two.address} \(Address already in use\); .*--two"
        )
        with pytest.raises(FederationError, match=said):
            server.open()
    socket.create_server((HOST, one.port)).close()
    assert served.lifespans == []


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a" * 64, "::zz"])
def test_a_host_that_is_not_here_is_said(host: str) -> None:
    listener = Listener("Fleet API", host, free_port(), "--fleet")
    with pytest.raises(FederationError, match=r"The Fleet API cannot be served on .*--fleet"):
        Server(Application().app, [listener], log_config=None).open()


def test_a_port_that_was_left_a_moment_ago_can_be_taken() -> None:
    here = listeners()
    for _ in range(2):
        with running(Server(Application().app, here, log_config=None)):
            assert httpx.get(url(here[0], "/health")).status_code == 200


def test_a_host_with_several_addresses_is_served_on_all() -> None:
    here = Listener("API", "", free_port())
    found = socket.getaddrinfo("localhost", here.port, type=socket.SOCK_STREAM)
    with running(Server(Application().app, [here], log_config=None)):
        for family, _, _, _, address in found:
            with socket.socket(family, socket.SOCK_STREAM) as client:
                assert client.connect_ex(address) == 0 or family == socket.AF_INET6


@pytest.mark.parametrize(("proxies", "seen"), [(None, HOST), (HOST, "198.51.100.7")])
def test_who_asks_is_not_for_the_asker_to_say(
    monkeypatch: pytest.MonkeyPatch, proxies: str | None, seen: str
) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if proxies is not None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", proxies)
    one, _ = here = listeners()
    with running(Server(Application().app, here, log_config=None)):
        headers = {"X-Forwarded-For": "198.51.100.7"}
        assert httpx.get(url(one, "/v1/one/who"), headers=headers).json() == seen


def certificate(directory: Path) -> Certificate:
    ensure_server_certificate(directory, ensure_authority(directory / "authority"), [HOST])
    return Certificate(directory / "server.crt", directory / "server.key")


def serial(listener: Listener, authority: Path) -> int:
    context = ssl.create_default_context(cafile=authority)
    with (
        socket.create_connection((listener.host, listener.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=listener.host) as connection,
    ):
        found: Any = connection.getpeercert()
        return int(found["serialNumber"], 16)


def test_a_new_certificate_is_served_without_a_restart_unless_it_is_none(tmp_path: Path) -> None:
    files = certificate(tmp_path)
    here = listeners()
    server = Server(Application().app, here, certificate=files, log_config=None)
    with running(server):
        context = ssl.create_default_context(cafile=tmp_path / "ca.crt")
        with httpx.Client(verify=context) as client:
            assert client.get(url(here[0], "/health", "https")).status_code == 200
            before = {serial(each, tmp_path / "ca.crt") for each in here}
            assert len(before) == 1

            key = Path(files.key_file).read_bytes()
            Path(files.certificate_file).unlink()
            certificate(tmp_path)
            renewed = Path(files.key_file).read_bytes()
            Path(files.key_file).write_bytes(key)
            assert {serial(each, tmp_path / "ca.crt") for each in here} == before

            Path(files.key_file).write_bytes(renewed)
            after = {serial(each, tmp_path / "ca.crt") for each in here}
            assert len(after) == 1
            assert after != before
            # A connection that is open is not touched.
            assert client.get(url(here[0], "/health", "https")).status_code == 200


def test_a_certificate_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    missing = Certificate(tmp_path / "none.crt", tmp_path / "none.key")
    with pytest.raises(
        CertificateError, match=r"none\.crt and .*none\.key cannot be used: No such"
    ):
        Server(Application().app, listeners(), certificate=missing, log_config=None).open()


def test_how_connections_are_accepted_is_for_the_caller_to_say() -> None:
    asked: list[int] = []

    async def accept(factory: Any, **given: Any) -> asyncio.Server:
        asked.append(given["sock"].getsockname()[1])
        assert (given["ssl"], given["backlog"]) == (None, 2048)
        return await asyncio.get_running_loop().create_server(factory, **given)

    here = listeners()
    with running(Server(Application().app, here, accept=accept, log_config=None)):
        assert httpx.get(url(here[1], "/health")).status_code == 200
    assert asked == [each.port for each in here]
