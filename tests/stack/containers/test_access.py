"""Who may not take part does not: plaintext, a wrong authority, an unregistered key."""

from pathlib import Path

import httpx
import pytest

from fedstate.certificates.authority import ensure_authority
from fedstate.connection import Connection
from fedstate.errors import CertificateError
from fedstate.flower.control import control
from tests.stack.containers.stack import NODES, Stack

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]

CONNECT = "timeout 60 flower-supernode --superlink fleet:8001 --isolation process"
STRANGERS = {
    "an unregistered key": f"""
        fedstate certificates node /tmp/stranger
        {CONNECT} --root-certificates public/ca.crt \
            --auth-supernode-private-key /tmp/stranger/node.key""",
    "no key": f"{CONNECT} --root-certificates public/ca.crt",
}


def test_plaintext_is_refused(stack: Stack) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{stack.connection.address}/health", timeout=5)


def test_a_wrong_authority_is_refused(stack: Stack, tmp_path: Path) -> None:
    ensure_authority(tmp_path)
    wrong = Connection("wrong", stack.connection.address, tmp_path / "ca.crt")
    with (
        control(wrong) as link,
        pytest.raises(CertificateError, match="is not signed by an authority that is trusted"),
    ):
        link.nodes()


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_is_refused(stack: Stack, stranger: str) -> None:
    known = {node.node_id for node in stack.nodes()}
    answer = stack.compose(
        *("run", "--rm", "--no-TTY", "--no-deps"),
        *("supernode-1", "sh", "-ec", STRANGERS[stranger]),
        check=False,
    )
    assert answer.returncode not in (0, 124), "it stayed connected"
    assert "Failed to initialize the connection" in answer.stdout + answer.stderr
    assert {node.node_id for node in stack.nodes()} == known
    assert len(known) == len(NODES)


@pytest.mark.parametrize("service", ["serverapp", "executor-1"])
def test_a_runtime_api_is_asked_over_tls_alone(stack: Stack, service: str) -> None:
    address = "runtime:8002" if service == "serverapp" else "runtime:9094"
    script = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)"
    answer = stack.run_inside(
        service, "python3", "-c", script, f"http://{address}/health", check=False
    )
    assert answer.returncode == 1
    # An authority other than the service's own vouches for nothing.
    health = ("python3", "-m", "fedstate.health", f"https://{address}/health")
    foreign = "/etc/ssl/certs/ca-certificates.crt"
    refused = stack.run_inside(service, *health, foreign, check=False)
    assert "is not signed by an authority that is trusted" in refused.stderr
    assert stack.run_inside(service, *health, "runtime/ca.crt").returncode == 0
