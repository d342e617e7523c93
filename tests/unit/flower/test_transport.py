"""How our clients connect; what may be wrong with TLS is in tests/unit/tls/test_problems.py."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.runtime import RuntimeHttpClient

from fedstate.flower.transport import connected


class Listening(ThreadingHTTPServer):
    """A server that answers each request with an empty message, and notes its first line."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.lines: list[str] = []
        self.address = f"127.0.0.1:{self.server_port}"


class _Answering(BaseHTTPRequestHandler):
    server: Listening

    def do_POST(self) -> None:
        self.server.lines.append(self.requestline)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()


@pytest.fixture
def listening() -> Iterator[Listening]:
    with Listening() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


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
