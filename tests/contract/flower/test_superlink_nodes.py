"""How flwr's Fleet API admits a node, keeps it online, and says that a run has ended."""

import time

import httpx
import pytest
from flwr.proto.fleet_pb2 import DeactivateNodeRequest, RegisterNodeFleetRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.error import ApiErrorCode, FlowerError
from tests.contract.flower.in_process import HEARTBEAT_SECONDS, SuperLink, arrays
from tests.contract.flower.in_process_run import Node, Reply, Run

from fedstate.flower.clients import HEARTBEAT_SECONDS as OUR_HEARTBEAT_SECONDS
from fedstate.flower.clients import PATIENCE_SECONDS


def refusal(raised: pytest.ExceptionInfo[httpx.HTTPStatusError]) -> tuple[int, int]:
    """Return status and code of what the SuperLink said."""
    error = FlowerError.from_json(raised.value.response.text)
    assert error is not None
    return raised.value.response.status_code, error.code


def heartbeat(node: Node, interval: float = HEARTBEAT_SECONDS) -> bool:
    request = SendNodeHeartbeatRequest(node=node.proto, heartbeat_interval=interval)
    return bool(node.client.SendNodeHeartbeat(request).success)


def test_a_key_is_registered_once(node: Node) -> None:
    with pytest.raises(httpx.HTTPStatusError) as raised:
        node.client.RegisterNode(RegisterNodeFleetRequest(public_key=node.public_key))
    assert refusal(raised)[1] == ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE


def test_a_node_is_admitted_again_when_its_heartbeat_has_lapsed_or_it_has_left(
    superlink: SuperLink, node: Node
) -> None:
    """Two SuperNodes with one key cannot be online at once; our rejoining relies on it."""
    with pytest.raises(httpx.HTTPStatusError) as raised:
        node.activate()
    assert refusal(raised)[1] == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED
    superlink.lapse(node.id)
    assert node.activate() == node.id
    node.client.DeactivateNode(DeactivateNodeRequest(node_id=node.id))
    assert node.activate() == node.id


def test_a_heartbeat_continues_a_session_that_has_not_lapsed(node: Node) -> None:
    assert heartbeat(node)


def test_our_heartbeat_is_the_shortest_that_is_taken(node: Node) -> None:
    assert heartbeat(node, OUR_HEARTBEAT_SECONDS)
    with pytest.raises(httpx.HTTPStatusError) as raised:
        heartbeat(node, OUR_HEARTBEAT_SECONDS - 0.5)
    assert refusal(raised)[1] == ApiErrorCode.FLEET_INVALID_HEARTBEAT_INTERVAL


def test_a_node_counts_as_online_for_our_patience(superlink: SuperLink, node: Node) -> None:
    before = time.time()
    assert heartbeat(node, OUR_HEARTBEAT_SECONDS)
    after = time.time()
    (info,) = superlink.state.get_node_info(node_ids=[node.id])
    assert before + PATIENCE_SECONDS <= info.online_until <= after + PATIENCE_SECONDS


def test_the_end_of_a_run_is_told_from_a_run_that_is_unknown(run: Run, node: Node) -> None:
    node.client.GetRun(GetRunRequest(node=node.proto, run_id=run.id))
    with pytest.raises(httpx.HTTPStatusError) as raised:
        node.client.GetRun(GetRunRequest(node=node.proto, run_id=12345))
    assert refusal(raised) == (403, ApiErrorCode.FLEET_GET_RUN_FAILED)
    run.end()
    with pytest.raises(httpx.HTTPStatusError) as raised:
        node.client.GetRun(GetRunRequest(node=node.proto, run_id=run.id))
    assert refusal(raised) == (403, ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED)


def test_what_belongs_to_a_run_that_has_ended_is_refused(run: Run, node: Node) -> None:
    run.push(run.message(node.id, arrays(1)))
    pulled = node.pull()
    message = node.take(pulled)
    run.end()
    for refused in (
        lambda: node.announce(Reply(message, arrays(2))),
        lambda: node.pull_object(run.id, message.metadata.message_id),
        lambda: node.confirm(message),
    ):
        with pytest.raises(httpx.HTTPStatusError) as raised:
            refused()
        assert refusal(raised) == (403, ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED)


def test_a_request_with_another_nodes_key_is_refused(superlink: SuperLink, node: Node) -> None:
    other = Node(superlink)
    other.proto = node.proto
    for request in (other.pull, lambda: heartbeat(other)):
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            request()
    other.client.close()
