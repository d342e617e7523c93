"""Who may not take part does not: plaintext, a wrong authority, an unregistered key."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fedstate.certificates.authority import ensure_authority
from fedstate.certificates.keys import ensure_node_key
from fedstate.connection import Connection
from fedstate.errors import CertificateError
from fedstate.flower.control import control
from fedstate.local.federation import Federation
from fedstate.local.process import Process, free_port
from tests.stack.conftest import PROGRAMS, command
from tests.waiting import wait_until

pytestmark = pytest.mark.allowed_errors(r"SuperNode with public key", r"Exit Code: 305")


def test_plaintext_is_refused(federation: Federation) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{federation.connection.address}/health", timeout=5)


def test_a_wrong_authority_is_refused(federation: Federation, tmp_path: Path) -> None:
    ensure_authority(tmp_path)
    wrong = Connection("wrong", federation.connection.address, tmp_path / "ca.crt")
    with (
        control(wrong) as link,
        pytest.raises(CertificateError, match="is not signed by an authority that is trusted"),
    ):
        link.nodes()


def test_a_missing_authority_is_said(federation: Federation, tmp_path: Path) -> None:
    missing = Connection("missing", federation.connection.address, tmp_path / "ca.crt")
    with (
        pytest.raises(CertificateError, match=r"root certificates .*ca\.crt .* are missing"),
        control(missing),
    ):
        pass


@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_health_is_asked_over_tls_alone(federation: Federation, scheme: str) -> None:
    url = f"{scheme}://{federation.connection.address}/health"
    answer = command(
        "fedstate",
        "health",
        url,
        "--root-certificates",
        federation.root_certificates,
        environment=federation.environment,
    )
    assert answer.returncode == 1
    assert answer.stderr.strip() == (
        f"fedstate: '{url}' is not an address: give HOST:PORT, such as 127.0.0.1:8000, or an "
        "https:// URL."
    )


def test_health_tells_well_from_unwell(federation: Federation) -> None:
    for port, code in ((federation.port, 0), (free_port(), 1)):
        answer = command(
            "fedstate",
            "health",
            f"https://127.0.0.1:{port}/health",
            "--root-certificates",
            federation.root_certificates,
            environment=federation.environment,
        )
        assert answer.returncode == code
        assert "Traceback" not in answer.stderr


@pytest.fixture(params=["an unregistered key", "no key"])
def stranger(
    federation: Federation, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Process]:
    """A SuperNode whose key nobody has registered, or that has none."""
    key: tuple[str, ...] = ()
    if request.param == "an unregistered key":
        ensure_node_key(tmp_path)
        key = ("--auth-supernode-private-key", str(tmp_path / "node.key"))
    process = Process(
        "a stranger",
        [
            str(PROGRAMS / "flower-supernode"),
            *("--superlink", f"127.0.0.1:{federation.ports.fleet}"),
            *("--root-certificates", str(federation.root_certificates)),
            *key,
            *("--isolation", "process", "--port", str(free_port())),
        ],
        federation.environment,
        tmp_path / "log",
    )
    process.start()
    yield process
    process.stop()


def test_a_stranger_is_refused(federation: Federation, stranger: Process) -> None:
    wait_until(lambda: not stranger.running, 60)
    assert "Failed to initialize the connection" in stranger.log_file.read_text()
    with control(federation.connection) as link:
        assert len(link.nodes()) == len(federation.nodes)


def test_registering_again_changes_nothing(federation: Federation) -> None:
    key = federation.nodes[0].directory / "node.pub"
    answer = command("fedstate", "enrol", key, environment=federation.environment)
    assert answer.returncode == 0
    assert "was registered already" in answer.stdout


def test_a_taken_port_is_said(federation: Federation, tmp_path: Path) -> None:
    answer = command(
        "fedstate",
        "local",
        "up",
        "--port",
        str(federation.port),
        "--directory",
        tmp_path,
        environment=federation.environment,
    )
    assert answer.returncode == 1
    assert f"Port {federation.port} on 127.0.0.1 cannot be used" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_expired_authority_is_said(federation: Federation, tmp_path: Path) -> None:
    from datetime import timedelta

    from fedstate.certificates import authority

    directory = tmp_path / "authority"
    authority.make_authority(directory, timedelta(minutes=-1))
    answer = command(
        "fedstate",
        "local",
        "up",
        "--directory",
        tmp_path,
        environment=federation.environment,
    )
    assert answer.returncode == 1
    assert "ca.crt expired on" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_no_superlink_is_said(federation: Federation, tmp_path: Path) -> None:
    environment = {**federation.environment, "FLWR_HOME": str(tmp_path)}
    authority = federation.root_certificates
    address = f"127.0.0.1:{free_port()}"
    subprocess.run(
        [
            PROGRAMS / "fedstate", "connection", "gone",
            *("--address", address, "--root-certificates", authority),
        ],
        env=environment, check=True, timeout=60, capture_output=True,
    )  # fmt: skip
    key = federation.nodes[0].directory / "node.pub"
    answer = command("fedstate", "enrol", key, "--wait", "0.5", environment=environment)
    assert answer.returncode == 1
    assert f"The SuperLink at {address} cannot be reached" in answer.stderr
    assert "Traceback" not in answer.stderr
