"""What a source of tasks makes of the answers of a real Runtime API, and of other servers."""

import datetime
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flwr.supercore.date import now
from tests.stack.executor.conftest import Node, probe_fab

from fedstate.errors import SettingError
from fedstate.flower.task_order import TaskKind
from fedstate.flower.tasks import (
    RuntimeApi,
    TaskServerError,
    TaskServerRefusesError,
    TaskServerUnavailableError,
    TaskSource,
)
from fedstate.local.process import free_port

CLIENT_APPS = [TaskKind.CLIENT_APP]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    node = Node(b"the secret")
    node.add_run(1, probe_fab())
    yield node
    node.stop()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_bytes(b"the secret")
    return file


def acquire(api: RuntimeApi) -> object:
    with TaskSource(api) as source:
        return source.acquire(CLIENT_APPS)


def test_a_task_is_taken_once_and_only_by_who_runs_its_kind(node: Node, secret: Path) -> None:
    api = RuntimeApi(node.address, insecure=True, auth_secret_file=secret)
    with TaskSource(api) as source:
        assert source.acquire(CLIENT_APPS) is None
        node.ask(1, "tell")
        (task,) = node.tasks("pending")
        assert source.acquire([TaskKind.SERVER_APP]) is None
        order = source.acquire(CLIENT_APPS)
        assert order is not None
        assert (order.kind, order.task_id) == (TaskKind.CLIENT_APP, task.task_id)
        assert order.token in {each.token for each in node.state.task_token_store.values()}
        assert source.acquire(CLIENT_APPS) is None
        assert source.wait(0, 10, []) is None, "flwr's own server has no notifications"


@pytest.mark.parametrize("content", [None, b"another"])
def test_another_secret_is_refused(node: Node, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "another"
    if content:
        file.write_bytes(content)
    api = RuntimeApi(node.address, insecure=True, auth_secret_file=file if content else None)
    with pytest.raises(TaskServerError, match=r"refuses this executor \(status 401\): give both"):
        acquire(api)


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the executor's clock so many days ahead: the server has other threads."""
    executor = threading.current_thread()
    ahead = datetime.timedelta()

    def now_here() -> datetime.datetime:
        return now() + (ahead if threading.current_thread() is executor else datetime.timedelta())

    def set_ahead(days: float) -> None:
        nonlocal ahead
        ahead = datetime.timedelta(days=days)

    monkeypatch.setattr("flwr.supercore.auth.superexec.now", now_here)
    return set_ahead


@pytest.mark.parametrize(("days", "said"), [(8, "8 days ahead of"), (-8, "8 days behind")])
def test_an_executor_whose_clock_is_wrong_is_told_so(
    node: Node, secret: Path, set_clock: Callable[[float], None], days: float, said: str
) -> None:
    set_clock(days)
    sentence = f"clock is {said} that of the server at {node.address}, .* set the clock"
    with pytest.raises(TaskServerError, match=sentence) as raised:
        acquire(RuntimeApi(node.address, insecure=True, auth_secret_file=secret))
    assert not isinstance(raised.value, TaskServerUnavailableError), "it has never worked"


def test_an_executor_that_has_worked_waits_for_its_clock(
    node: Node, secret: Path, set_clock: Callable[[float], None]
) -> None:
    api = RuntimeApi(node.address, insecure=True, auth_secret_file=secret)
    with TaskSource(api) as source:
        source.acquire([TaskKind.SERVER_APP])
        set_clock(8)
        with pytest.raises(TaskServerRefusesError, match=r"8 days ahead of .* that is wrong$"):
            source.acquire([TaskKind.SERVER_APP])
        set_clock(0)
        source.acquire([TaskKind.SERVER_APP])


def test_an_executor_that_has_worked_waits_when_it_is_refused(secret: Path) -> None:
    first = Node(b"the secret")
    api = RuntimeApi(first.address, insecure=True, auth_secret_file=secret)
    with TaskSource(api) as source:
        try:
            source.acquire(CLIENT_APPS)
            first.app.state.superexec_auth_secret = b"another"
            with pytest.raises(TaskServerRefusesError, match=r"401.* clock .*same --superexec"):
                source.acquire(CLIENT_APPS)
        finally:
            first.stop()


def test_tls_to_a_server_without_is_said(node: Node) -> None:
    with pytest.raises(TaskServerError, match=r"TLS was spoken .*-certificates and --insecure"):
        acquire(RuntimeApi(node.address))


def test_a_server_that_is_not_there_may_come() -> None:
    with pytest.raises(TaskServerUnavailableError, match="refused"):
        acquire(RuntimeApi(f"127.0.0.1:{free_port()}", insecure=True))


def test_a_file_without_a_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("no certificate")
    with pytest.raises(SettingError, match=r"names .*ca.crt, which holds no certificate"):
        TaskSource(RuntimeApi("a:1", root_certificates=str(tmp_path / "ca.crt")))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "answers with status 404"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>", "is none of Flower's"),
    ],
)
def test_a_server_of_somebody_else_s_is_said(answer: bytes, sentence: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_one() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve_one)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(TaskServerError, match=f"{address} {sentence}.*check --runtime-api"):
            acquire(RuntimeApi(address, insecure=True))
        thread.join()


def test_an_address_that_is_none_is_said() -> None:
    with pytest.raises(TaskServerError, match=r"server at a:b is .*check --runtime-api-address"):
        acquire(RuntimeApi("a:b", insecure=True))
