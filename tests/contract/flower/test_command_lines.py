"""flwr's own command lines, read by flwr, and what its programs do with their processes."""

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import grpc  # type: ignore[import-untyped]  # it ships none
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.supercore.address import parse_address, resolve_bind_address
from flwr.supercore.constant import HTTP_SERVER_SHUTDOWN_TIMEOUT
from flwr.supercore.fab import Fab
from flwr.supercore.grpc_health import run_health_server_grpc_no_tls
from flwr.supercore.tls import get_client_tls_args
from flwr.superlink.cli.flower_superlink import (
    _parse_args_run_superlink,
    _parse_superlink_lifespan_config,
)
from flwr.supernode.cli.flower_supernode import (
    _parse_args_run_supernode,
    _parse_supernode_lifespan_config,
)
from flwr.supernode.start_client_internal import _verify_fab
from grpc_health.v1 import (  # type: ignore[import-untyped]  # nor does this
    health_pb2,
    health_pb2_grpc,
)

OUR_SUPERNODE_OPTIONS = {
    *("--state", "--state-key", "--retain", "--retain-size", "--concurrency", "--poll-interval"),
}


def test_the_supernodes_command_line_says_what_flwrs_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_bytes(b"authority")
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 32)
    command = [
        *("flower-supernode", "--superlink", "[::1]:9", "--root-certificates", str(authority)),
        *("--node-config", "partition-id=1 name='x'", "--max-retries", "3"),
        *("--max-wait-time", "4.5", "--isolation", "process", "--host", "127.0.0.2"),
        *("--port", "9999", "--superexec-auth-secret-file", str(secret)),
    ]
    monkeypatch.setattr(sys, "argv", command)
    config = _parse_supernode_lifespan_config()
    assert config.server_address == "[::1]:9"
    assert (config.insecure, config.root_certificates) == (False, b"authority")
    assert config.authentication_keys is None
    assert config.node_config == {"partition-id": 1, "name": "x"}
    assert (config.max_retries, config.max_wait_time) == (3, 4.5)
    assert (config.isolation, config.host, config.port) == ("process", "127.0.0.2", 9999)
    assert config.superexec_auth_secret == b"s" * 32
    assert config.trusted_entities in (None, {})
    assert config.health_server_address in (None, "")
    assert config.runtime_ssl_certfile is None
    assert config.runtime_ssl_keyfile is None
    assert config.runtime_certificates is None
    assert config.runtime_root_certificates_path is None
    assert config.runtime_dependency_install in (True, False)


def test_flwr_has_no_option_of_the_names_of_ours() -> None:
    theirs = {o for a in _parse_args_run_supernode()._actions for o in a.option_strings}
    assert not theirs & OUR_SUPERNODE_OPTIONS


def test_the_superlinks_command_line_says_what_flwrs_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = ["--insecure", "--database", str(tmp_path / "link.db"), "--port", "9998"]
    _parse_args_run_superlink().parse_args(arguments)
    monkeypatch.setattr(sys, "argv", ["flower-superlink", *arguments, "--host", "127.0.0.2"])
    config = _parse_superlink_lifespan_config()
    assert (config.host, config.port) == ("127.0.0.2", 9998)
    assert config.database == str(tmp_path / "link.db")
    assert (config.ssl_keyfile, config.ssl_certfile) == (None, None)


def test_a_fab_is_verified_by_the_signature_of_a_trusted_entity() -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    signed_at = 1_700_000_000
    signed = signed_at.to_bytes(8, "big") + hashlib.sha256(b"content").digest()
    signature = base64.urlsafe_b64encode(key.sign(signed)).decode().rstrip("=")
    verification = json.dumps({"signed_at": signed_at, "signature": signature})
    verifications = {"key-id": verification, "valid_license": "Valid"}
    assert _verify_fab(Fab("", b"content", verifications), {"key-id": public})
    assert not _verify_fab(Fab("", b"other", verifications), {"key-id": public})
    assert not _verify_fab(Fab("", b"content", verifications), {"another": public})


def test_addresses_are_read_as_flwr_reads_them() -> None:
    assert parse_address("[::1]:9") == ("::1", 9, True)
    assert parse_address("localhost:9092") in (
        ("localhost", 9092, None),
        ("localhost", 9092, False),
    )
    assert parse_address("nothing") is None
    assert resolve_bind_address("0.0.0.0:80").rpartition(":")[0] in ("127.0.0.1", "localhost")


def test_an_executor_is_given_how_to_reach_its_supernode() -> None:
    assert get_client_tls_args(insecure=True, root_certificates_path=None) == ["--insecure"]
    given = get_client_tls_args(insecure=False, root_certificates_path="/ca.crt")
    assert given == ["--root-certificates", "/ca.crt"]


def test_the_health_server_says_that_it_serves() -> None:
    server = run_health_server_grpc_no_tls("127.0.0.1:0")
    try:
        with grpc.insecure_channel(server.bound_address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            status = stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status
        assert status == health_pb2.HealthCheckResponse.SERVING
    finally:
        server.stop(grace=0)


def test_a_signal_ends_a_process_in_order() -> None:
    program = (
        "import os, signal\n"
        "from flwr.supercore.exit import register_signal_handlers\n"
        "from flwr.supercore.telemetry import EventType\n"
        "register_signal_handlers(event_type=EventType.RUN_SUPERNODE_LEAVE,\n"
        "    exit_message='in order', grpc_servers=[])\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "signal.pause()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "in order" in done.stdout + done.stderr


def test_a_server_has_some_seconds_to_end() -> None:
    assert 0 < HTTP_SERVER_SHUTDOWN_TIMEOUT < 60
