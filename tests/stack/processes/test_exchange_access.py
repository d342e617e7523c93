"""The routes that are ours let nobody in whom flwr's would not."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.proto.node_pb2 import Node
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fedstate.certificates.keys import ensure_node_key
from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.exchange.messages import (
    PullObjectsRequest,
    PullObjectsResponse,
    PushLogRequest,
    PushLogResponse,
    PushObjectsRequest,
    PushObjectsResponse,
    PushReplyRequest,
    PushReplyResponse,
    SendMessagesRequest,
    SendMessagesResponse,
    TakeRepliesRequest,
    TakeRepliesResponse,
    TakeRequest,
    TakeResponse,
    WaitRequest,
    WaitResponse,
)
from fedstate.flower.control import control
from fedstate.local.federation import Federation

pytestmark = pytest.mark.allowed_errors(r"authentication failed")

CALLS = {
    paths.FLEET_PULL: (PullObjectsRequest, PullObjectsResponse),
    paths.FLEET_PUSH: (PushObjectsRequest, PushObjectsResponse),
    paths.FLEET_REPLY: (PushReplyRequest, PushReplyResponse),
    paths.FLEET_TAKE: (TakeRequest, TakeResponse),
    paths.FLEET_WAIT: (WaitRequest, WaitResponse),
    paths.FLEET_LOG: (PushLogRequest, PushLogResponse),
    paths.RUNTIME_PULL: (PullObjectsRequest, PullObjectsResponse),
    paths.RUNTIME_PUSH: (PushObjectsRequest, PushObjectsResponse),
    paths.RUNTIME_SEND: (SendMessagesRequest, SendMessagesResponse),
    paths.RUNTIME_TAKE: (TakeRepliesRequest, TakeRepliesResponse),
    paths.RUNTIME_WAIT: (WaitRequest, WaitResponse),
    paths.TASKS_WAIT: (WaitRequest, WaitResponse),
}
FLEET = [path for path in CALLS if path.startswith("/v1/fleet/")]
RUNTIME = [path for path in CALLS if path.startswith("/v1/runtime/")]


def status(federation: Federation, path: str, node_id: int, *interceptors: Any) -> int:
    """Return the status with which the SuperLink answers."""
    request, response = CALLS[path]
    ports = federation.ports
    client = ProtobufClient.from_server_address(
        f"127.0.0.1:{ports.fleet if path in FLEET else ports.runtime}",
        False,
        str(federation.root_certificates),
        interceptors,
    )
    with client:
        try:
            answer = ExtraRoutes(client).call(
                path, request(node=Node(node_id=node_id)), response, method=paths.ACQUIRE_TASK
            )
        except httpx.HTTPStatusError as error:
            return error.response.status_code
    return int(httpx.codes.OK if answer is not None else httpx.codes.NOT_FOUND)


def key_of(directory: Path) -> NodeAuthHttpInterceptor:
    private_key = load_ssh_private_key((directory / "node.key").read_bytes(), None)
    assert isinstance(private_key, ec.EllipticCurvePrivateKey)
    return NodeAuthHttpInterceptor(private_key, private_key.public_key())


def node_ids(federation: Federation) -> list[int]:
    with control(federation.connection) as link:
        by_key = {node.public_key: node.node_id for node in link.nodes()}
    return [by_key[node.public_key] for node in federation.nodes]


@pytest.mark.parametrize("path", CALLS)
def test_without_credentials_nothing_is_answered(federation: Federation, path: str) -> None:
    node_id = node_ids(federation)[0] if path in FLEET else 1
    assert status(federation, path, node_id) == httpx.codes.UNAUTHORIZED


@pytest.mark.parametrize("path", FLEET)
def test_a_key_that_nobody_registered_is_refused(
    federation: Federation, tmp_path: Path, path: str
) -> None:
    ensure_node_key(tmp_path)
    answer = status(federation, path, node_ids(federation)[0], key_of(tmp_path))
    assert answer == httpx.codes.UNAUTHORIZED


@pytest.mark.parametrize("path", FLEET)
def test_a_node_cannot_speak_for_another(federation: Federation, path: str) -> None:
    answer = status(
        federation, path, node_ids(federation)[0], key_of(federation.nodes[1].directory)
    )
    assert answer == httpx.codes.UNAUTHORIZED


@pytest.mark.parametrize("path", RUNTIME)
def test_a_token_or_secret_that_is_not_the_superlinks_is_refused(
    federation: Federation, path: str
) -> None:
    credentials = (
        RuntimeTokenHttpInterceptor("made up"),
        SuperExecAuthHttpInterceptor(
            master_secret=b"not the secret", protected_methods={paths.ACQUIRE_TASK}
        ),
    )
    assert status(federation, path, 1, *credentials) == httpx.codes.UNAUTHORIZED


def test_a_registered_node_and_its_executor_may_wait(federation: Federation) -> None:
    """Else the tests above would pass for the wrong reason."""
    node = federation.nodes[0]
    fleet = status(federation, paths.FLEET_WAIT, node_ids(federation)[0], key_of(node.directory))
    secret = (federation.superlink.log_file.parent / "superexec.secret").read_bytes().strip()
    executor = SuperExecAuthHttpInterceptor(
        master_secret=secret, protected_methods={paths.ACQUIRE_TASK}
    )
    assert fleet == status(federation, paths.TASKS_WAIT, 1, executor) == httpx.codes.OK
