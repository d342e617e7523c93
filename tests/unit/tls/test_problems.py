"""Wrong settings and broken connections are told apart, at a real server, by every client.

The kinds are those of `tests.tls_server`, and each client of ours meets all of them.
"""

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tests.superlink_application import key_pair
from tests.tls_server import (
    BROKEN,
    GOOD,
    HOST,
    IN_THE_HANDSHAKE,
    SENTENCES,
    WRONG,
    TlsServer,
    tls_server,
)

from fedstate.connection import Connection
from fedstate.errors import CertificateError, FederationError
from fedstate.flower import transport
from fedstate.flower.clients import FleetApi
from fedstate.flower.control import control, wait_for_superlink
from fedstate.flower.errors import UnreachableError
from fedstate.flower.grid import BatchingGrid
from fedstate.flower.own_key import OwnKey
from fedstate.flower.task_client import task_client
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.flower.tasks import (
    RuntimeApi,
    TaskServerError,
    TaskServerUnavailableError,
    TaskSource,
)
from fedstate.health import check_health
from fedstate.tls.problems import is_broken, setting_problem

KINDS = [*BROKEN, *WRONG]


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with tls_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def server(_server: TlsServer, monkeypatch: pytest.MonkeyPatch) -> TlsServer:
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)  # flwr's pauses between two tries
    _server.met.clear()
    return _server


def test_every_wrong_setting_has_its_sentence() -> None:
    assert set(SENTENCES) == set(WRONG)


def ask_with_httpx(server: TlsServer, seconds: float = 10) -> None:
    verify = transport.trust(server.trusted())
    with httpx.Client(verify=verify, timeout=seconds) as client:
        client.post(f"https://{server.address}/", content=b"content")


def ask_with_the_standard_library(server: TlsServer) -> None:
    context = ssl.create_default_context(cafile=server.trusted())
    client = http.client.HTTPSConnection(server.address, timeout=10, context=context)
    try:
        client.request("POST", "/", b"content")
        client.getresponse()
    finally:
        client.close()


@pytest.mark.parametrize("ask", [ask_with_httpx, ask_with_the_standard_library])
@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_is_a_wrong_setting_or_a_broken_connection(
    server: TlsServer, kind: str, ask: Callable[[TlsServer], None]
) -> None:
    server.plan = [kind]
    with pytest.raises((httpx.TransportError, OSError)) as raised:
        ask(server)
    problem = setting_problem(raised.value, "the server")
    assert (problem is None) == (kind in BROKEN)
    if kind not in BROKEN or kind in IN_THE_HANDSHAKE:
        assert is_broken(raised.value) == (kind in BROKEN)
    if problem is not None:
        assert SENTENCES[kind] in problem
        assert problem.endswith(".")
        assert "\n" not in problem


def test_a_handshake_that_takes_too_long_is_no_wrong_setting(server: TlsServer) -> None:
    with socket.create_server((HOST, 0)) as silent:
        url = f"https://{HOST}:{silent.getsockname()[1]}/"
        context = transport.trust(server.trusted())
        with (
            httpx.Client(verify=context, timeout=0.2) as client,
            pytest.raises(httpx.ConnectTimeout) as raised,
        ):
            client.get(url)
    assert "ssl" in str(raised.value), "the words of the message say something else"
    assert setting_problem(raised.value, "the server") is None


def test_a_certificate_of_the_future_is_about_clocks(
    server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedstate.certificates import authority

    monkeypatch.setattr(authority, "CLOCK_TOLERANCE", timedelta(days=-1))
    name = "another host name"  # is made anew
    authority.ensure_server_certificate(
        server.directory / name,
        authority.ensure_authority(server.directory / "authority"),
        [HOST],
        force=True,
    )
    server.plan = [name]
    with pytest.raises(httpx.ConnectError) as raised:
        ask_with_httpx(server)
    authority.ensure_server_certificate(
        server.directory / name,
        authority.ensure_authority(server.directory / "authority"),
        ["elsewhere.example"],
        force=True,
    )
    problem = setting_problem(raised.value, "the server")
    assert problem is not None
    assert "is not valid yet: check the clocks" in problem


def test_an_error_without_a_reason_is_a_broken_connection() -> None:
    for error in (ssl.SSLError("an error of Python's own"), ssl.SSLEOFError(8, "EOF")):
        assert setting_problem(error, "the server") is None
        assert is_broken(error)


def test_what_has_nothing_to_do_with_tls_is_neither() -> None:
    for error in (ConnectionRefusedError(), TimeoutError(), ValueError("certificate ssl tls")):
        assert setting_problem(error, "the server") is None
        assert not is_broken(error)


@pytest.mark.parametrize("kind", KINDS)
def test_an_executor_goes_on_unless_a_setting_is_wrong(server: TlsServer, kind: str) -> None:
    server.plan = [kind]
    api = RuntimeApi(server.address, root_certificates=str(server.trusted()))
    expected = TaskServerUnavailableError if kind in BROKEN else TaskServerError
    with TaskSource(api) as source:
        for ask in (
            lambda: source.acquire([TaskKind.CLIENT_APP]),
            lambda: source.wait(0, 1, []),
        ):
            with pytest.raises(TaskServerError) as raised:
                ask()
            assert type(raised.value) is expected
            if kind in WRONG:
                assert SENTENCES[kind] in str(raised.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_supernode_goes_on_and_says_which_setting_is_wrong(
    server: TlsServer, kind: str
) -> None:
    server.plan = [kind]
    with (
        FleetApi(server.address, OwnKey(key_pair()), root_certificates=server.trusted()) as api,
        pytest.raises(UnreachableError, match="cannot be reached") as raised,
    ):
        api.heartbeat()
    # A message that was asked for so late may be lost; with these nothing was asked for.
    assert raised.value.sent == (kind in BROKEN and kind not in IN_THE_HANDSHAKE)
    assert (SENTENCES.get(kind, "cannot be reached")) in str(raised.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_client_says_which_setting_is_wrong(server: TlsServer, kind: str) -> None:
    server.plan = [kind]
    connection = Connection("here", server.address, server.trusted())
    expected = FederationError if kind in BROKEN else CertificateError
    with control(connection) as link, pytest.raises(expected, match=SENTENCES.get(kind, "runs")):
        link.nodes()
    # A request that may have arrived is not made twice.
    assert (len(server.met) > 1) == (kind in IN_THE_HANDSHAKE)


@pytest.mark.parametrize("kind", KINDS)
def test_health_says_what_is_wrong(server: TlsServer, kind: str) -> None:
    server.plan = [kind]
    with pytest.raises(FederationError, match=SENTENCES.get(kind, "is not well")) as raised:
        check_health(f"https://{server.address}/health", server.trusted())
    assert "is not well: " in str(raised.value)


def ask_with_a_task(server: TlsServer) -> None:
    order = TaskOrder(
        *(TaskKind.CLIENT_APP, 1, "token", server.address),
        root_certificates_path=str(server.trusted()),
    )
    with task_client(order, retry=True) as client:
        client.push_failure("reason")


def ask_with_a_grid(server: TlsServer) -> None:
    grid = BatchingGrid(server.address, token="token")
    grid.authority_file = str(server.trusted())
    grid.get_nodes()
    grid.close()


def ask_with_a_fleet_client(server: TlsServer) -> None:
    with FleetApi(
        server.address,
        OwnKey(key_pair()),
        root_certificates=server.trusted(),
        retry_seconds=0.01,
    ) as api:
        api.confirm(1, "message")


RETRYING = [ask_with_a_task, ask_with_a_grid, ask_with_a_fleet_client]


@pytest.mark.parametrize("ask", RETRYING)
@pytest.mark.parametrize("kind", BROKEN)
def test_a_request_of_a_step_is_made_again(
    server: TlsServer, kind: str, ask: Callable[[TlsServer], None]
) -> None:
    server.plan = [kind, kind, GOOD]
    ask(server)
    assert server.met == [kind, kind, GOOD]


@pytest.mark.parametrize("ask", RETRYING)
@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_setting_ends_a_step_with_its_sentence(
    server: TlsServer,
    kind: str,
    ask: Callable[[TlsServer], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.plan = [kind]
    with pytest.raises((httpx.TransportError, UnreachableError)):
        ask(server)
    assert server.met == [kind]
    assert SENTENCES[kind] in caplog.text


@pytest.mark.parametrize("kind", WRONG)
def test_a_setting_that_was_right_before_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)
    policy = transport.retry_policy()
    with tls_server(tmp_path) as server:
        for plan in ([GOOD], [kind, kind, GOOD]):
            server.plan = plan
            verify = transport.trust(server.authority_file)
            with httpx.Client(verify=verify) as client:
                policy.invoke(client.post, f"https://{server.address}/", content=b"content")
        server.plan = [GOOD, kind]
        api = RuntimeApi(server.address, root_certificates=str(server.authority_file))
        with TaskSource(api) as source:
            source.acquire([TaskKind.CLIENT_APP])
            with pytest.raises(TaskServerUnavailableError):
                source.acquire([TaskKind.CLIENT_APP])
    warnings = [record for record in caplog.records if record.name == "flwr.fedstate"]
    assert [record.levelname for record in warnings] == ["WARNING"], "said once"


def test_a_superlink_is_waited_for_unless_a_setting_is_wrong(server: TlsServer) -> None:
    connection = Connection("here", server.address, server.authority_file)
    server.plan = [*BROKEN, GOOD]
    wait_for_superlink(connection, 60)
    server.plan = ["another authority"]
    server.met.clear()
    with pytest.raises(CertificateError, match="is not signed by an authority"):
        wait_for_superlink(connection, 60)
    assert len(server.met) == 1


def test_a_control_client_survives_a_handshake_that_breaks(server: TlsServer) -> None:
    for kind in IN_THE_HANDSHAKE:
        server.plan = [kind, kind, GOOD]
        with control(Connection("here", server.address, server.trusted())) as link:
            assert link.nodes() == []


def test_an_authority_that_is_not_there_is_a_mistake(
    tmp_path: Path,
) -> None:
    with pytest.raises(CertificateError, match=r"ca\.crt cannot be used: No such file"):
        transport.trust(tmp_path / "ca.crt")
