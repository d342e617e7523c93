"""How our clients connect; what may be wrong with TLS is in tests/unit/tls/test_problems.py."""

import socket
import threading
from collections.abc import Iterator

import pytest
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.runtime import RuntimeHttpClient

from fedstate.flower.transport import connected

ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class Listening:
    """A server that answers each request with an empty message, and notes its first line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.lines.append(connection.recv(65536).decode("latin-1").splitlines()[0])
                connection.sendall(ANSWER)


@pytest.fixture
def listening() -> Iterator[Listening]:
    made = Listening()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def ask(address: str) -> None:
    client = connected(
        RuntimeHttpClient, address, insecure=True, root_certificates=None, interceptors=[]
    )
    client.PullMessages(PullAppMessagesRequest())
    client._client.close()


def test_a_server_is_connected_to(listening: Listening) -> None:
    ask(listening.address)
    assert listening.lines == ["POST /v1/runtime/pull-messages HTTP/1.1"]


def test_a_proxy_is_gone_through(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{listening.address}")
    ask("superlink.example:8000")
    assert listening.lines == [
        "POST http://superlink.example:8000/v1/runtime/pull-messages HTTP/1.1"
    ]


def test_a_server_that_needs_no_proxy_is_connected_to(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    ask(listening.address)
    assert listening.lines == ["POST /v1/runtime/pull-messages HTTP/1.1"]
