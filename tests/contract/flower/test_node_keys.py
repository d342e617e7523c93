"""What an operator changes of a node: another key and a way back, on both of our states."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.common.constant import NOOP_FLWR_AID
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    PullMessagesRequest,
    RegisterNodeFleetRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node as NodeProto
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from tests.contract.flower.in_process import HEARTBEAT_SECONDS, SuperLink, arrays
from tests.contract.flower.in_process_run import Node, Reply, running
from tests.superlink_application import SuperLinkApplication

from fedstate.errors import CertificateError, FederationError
from fedstate.flower.control import Control
from fedstate.flower.control_nodes import replace_key, restore_node
from fedstate.flower.node_keys import KeyInUseError, NodeUnknownError
from fedstate.flower.superlink_app import IN_MEMORY_DATABASE
from fedstate.verify.superlink import gather

Key = ec.EllipticCurvePrivateKey


@pytest.fixture(scope="module", params=["file", "memory"])
def superlink(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SuperLink]:
    memory = request.param == "memory"
    directory = tmp_path_factory.mktemp("link")
    with SuperLink(directory, database=IN_MEMORY_DATABASE if memory else None) as running:
        yield running


@pytest.fixture
def control(superlink: SuperLink) -> Control:
    return superlink.control()


@pytest.fixture
def node(superlink: SuperLink) -> Iterator[Node]:
    node = Node(superlink)
    yield node
    node.client.close()


@pytest.fixture
def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def public_file(directory: Path, key: Key | ed25519.Ed25519PrivateKey) -> Path:
    file = directory / "new.pub"
    encoded = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    file.write_bytes(encoded)
    return file


def activate(superlink: SuperLink, key: Key) -> int:
    """Join with a key; return the ID by which the SuperLink knows it."""
    request = ActivateNodeRequest(
        public_key=public_key_to_bytes(key.public_key()), heartbeat_interval=HEARTBEAT_SECONDS
    )
    return int(superlink.fleet_client(key).ActivateNode(request).node_id)


def status_of(raised: pytest.ExceptionInfo[httpx.HTTPStatusError]) -> tuple[int, int | None]:
    error = FlowerError.from_json(raised.value.response.text)
    return raised.value.response.status_code, error.code if error else None


def is_refused(node: Node) -> bool:
    """Whether all that a node asks for under its ID is answered with 401."""
    with pytest.raises(httpx.HTTPStatusError) as raised:
        node.pull()
    return status_of(raised)[0] == httpx.codes.UNAUTHORIZED


def test_a_node_with_another_key_is_the_same_node_and_the_old_key_is_refused_at_once(
    superlink: SuperLink, control: Control, node: Node, new_key: Key, tmp_path: Path
) -> None:
    with running(superlink) as (run, _):
        message_id = run.push(run.message(node.id, arrays(1.0)))
        assert replace_key(control, node.id, public_file(tmp_path, new_key))
        assert is_refused(node)
        with pytest.raises(httpx.HTTPStatusError) as raised:
            node.activate()
        assert status_of(raised)[1] == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED
        # The SuperNode with the new key waits for nothing, and finds the message.
        assert activate(superlink, new_key) == node.id
        client = superlink.fleet_client(new_key)
        pulled = client.PullMessages(PullMessagesRequest(node=NodeProto(node_id=node.id)))
        assert len(pulled.messages_list) == 1
        node.client, node.key = client, new_key
        node.answer(Reply(node.take(pulled), arrays(2.0)))
        assert not run.reply(message_id).has_error()
    (known,) = [each for each in control.nodes() if each.node_id == node.id]
    assert known.public_key == public_key_to_bytes(new_key.public_key())


def test_the_key_that_a_node_has_is_no_change(
    control: Control, node: Node, tmp_path: Path
) -> None:
    assert not replace_key(control, node.id, public_file(tmp_path, node.key))
    node.pull()


def test_a_key_that_is_or_was_a_nodes_is_nobodys_again(
    superlink: SuperLink, control: Control, node: Node, new_key: Key, tmp_path: Path
) -> None:
    other = Node(superlink)
    with pytest.raises(FederationError, match=r"has the key .*, or has had it before"):
        replace_key(control, node.id, public_file(tmp_path, other.key))
    assert replace_key(control, node.id, public_file(tmp_path, new_key))
    for each in (node.id, other.id):
        with pytest.raises(FederationError, match="or has had it before"):
            replace_key(control, each, public_file(tmp_path, node.key))
    # Neither a node nor an operator registers it as a new one.
    with pytest.raises(httpx.HTTPStatusError) as raised:
        node.client.RegisterNode(RegisterNodeFleetRequest(public_key=node.public_key))
    assert status_of(raised)[1] == ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE
    before = control.nodes()
    with pytest.raises(FederationError, match=r"or was replaced; make a new one"):
        control.register(public_file(tmp_path, node.key))
    assert control.nodes() == before


def test_what_is_no_node_or_no_key_is_refused(
    superlink: SuperLink, control: Control, node: Node, new_key: Key, tmp_path: Path
) -> None:
    unknown = node.id ^ 1
    with pytest.raises(FederationError, match=f"has no node {unknown} at"):
        replace_key(control, unknown, public_file(tmp_path, new_key))
    with pytest.raises(FederationError, match=f"has no node {unknown} at"):
        restore_node(control, unknown)
    encoded = public_key_to_bytes(new_key.public_key())
    with pytest.raises(NodeUnknownError):
        superlink.state.replace_key("another account", node.id, encoded)
    with pytest.raises(NodeUnknownError):
        superlink.state.restore_node("another account", node.id)
    with pytest.raises(CertificateError, match="not an elliptic-curve key"):
        replace_key(control, node.id, public_file(tmp_path, ed25519.Ed25519PrivateKey.generate()))
    node.pull()


@pytest.mark.parametrize("key", [b"", b"no key", b"\xff"])
def test_a_key_that_cannot_be_read_is_refused_by_the_superlink(
    superlink: SuperLink, node: Node, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedstate.flower.control_nodes.load_public_key", lambda _: key)
    with pytest.raises(FederationError, match="The provided public key is not valid"):
        replace_key(superlink.control(), node.id, Path("any"))
    node.pull()


def test_an_unregistered_node_is_taken_back_with_its_id_and_key(
    superlink: SuperLink, control: Control, node: Node, new_key: Key, tmp_path: Path
) -> None:
    superlink.state.delete_node(NOOP_FLWR_AID, node.id)
    assert is_refused(node)
    with pytest.raises(FederationError, match=f"`fedstate node restore {node.id}` takes it back"):
        control.register(public_file(tmp_path, node.key))
    with pytest.raises(FederationError, match="or it is unregistered"):
        replace_key(control, node.id, public_file(tmp_path, new_key))
    with pytest.raises(httpx.HTTPStatusError):
        node.activate()
    assert restore_node(control, node.id)
    assert not restore_node(control, node.id)
    assert node.activate() == node.id
    node.pull()
    (known,) = [each for each in control.nodes() if each.node_id == node.id]
    assert known.online


def test_a_node_that_never_connected_is_taken_back(
    superlink: SuperLink, control: Control, new_key: Key, tmp_path: Path
) -> None:
    control.register(public_file(tmp_path, new_key))
    encoded = public_key_to_bytes(new_key.public_key())
    (known,) = [each for each in control.nodes() if each.public_key == encoded]
    superlink.state.delete_node(NOOP_FLWR_AID, known.node_id)
    assert restore_node(control, known.node_id)
    assert control.nodes()[-1] == known
    assert activate(superlink, new_key) == known.node_id


def test_of_two_operators_one_replaces_the_key(superlink: SuperLink, node: Node) -> None:
    keys = [ec.generate_private_key(ec.SECP256R1()).public_key() for _ in range(4)]
    outcomes: list[object] = []

    def replace(encoded: bytes) -> None:
        try:
            outcomes.append(superlink.state.replace_key(NOOP_FLWR_AID, node.id, encoded))
        except (KeyInUseError, NodeUnknownError) as error:
            outcomes.append(error)

    encoded = [public_key_to_bytes(key) for key in keys]
    threads = [threading.Thread(target=replace, args=(each,)) for each in encoded]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    former = [each.public_key for each in superlink.state.former_keys.of_nodes()[node.id]]
    (known,) = superlink.state.get_node_info(node_ids=[node.id])
    # Each that took its turn left a key behind, and the one that is there is of the last.
    assert len(former) == outcomes.count(True) >= 1
    assert former[0] == node.public_key
    assert {*former, known.public_key} <= {node.public_key, *encoded}
    assert known.public_key not in former


def test_the_verifier_is_told_which_keys_a_node_had_until_when(
    superlink: SuperLink, control: Control, node: Node, new_key: Key, tmp_path: Path
) -> None:
    replace_key(control, node.id, public_file(tmp_path, new_key))
    with running(superlink) as (run, _):
        evidence = gather(control.evidence([run.id], ask_nodes=False))
    (former,) = evidence.former_keys[node.id]
    assert former.public_key == node.public_key
    assert evidence.keys[node.id] == public_key_to_bytes(new_key.public_key())
    assert former.until > 0


def test_flwrs_own_superlink_says_that_it_cannot(tmp_path: Path, new_key: Key) -> None:
    with SuperLink(tmp_path, ours=False) as flwrs:
        node = Node(flwrs)
        with pytest.raises(FederationError, match="start it with `fedstate superlink`"):
            replace_key(flwrs.control(), node.id, public_file(tmp_path, new_key))


def test_with_node_authentication_a_node_neither_registers_nor_unregisters_itself(
    superlink: SuperLink, new_key: Key, control: Control, tmp_path: Path
) -> None:
    """What `--enable-supernode-auth` sets; flwr's own parser demands TLS beside it."""
    superlink.app.state.enable_supernode_auth = True
    try:
        client = superlink.fleet_client(new_key)
        encoded = public_key_to_bytes(new_key.public_key())
        with pytest.raises(httpx.HTTPStatusError) as raised:
            client.RegisterNode(RegisterNodeFleetRequest(public_key=encoded))
        assert status_of(raised)[1] == ApiErrorCode.FLEET_SUPERNODE_REGISTRATION_DISABLED
        with pytest.raises(httpx.HTTPStatusError) as raised:
            activate(superlink, new_key)
        assert status_of(raised)[1] == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED
        assert control.register(public_file(tmp_path, new_key))
        assert activate(superlink, new_key)
    finally:
        superlink.app.state.enable_supernode_auth = False


def test_former_keys_survive_a_restart_of_the_superlink(tmp_path: Path) -> None:
    superlink = SuperLinkApplication(tmp_path)
    old, new = (
        public_key_to_bytes(ec.generate_private_key(ec.SECP256R1()).public_key())
        for _ in range(2)
    )
    node_id = superlink.state.create_node(NOOP_FLWR_AID, "", old, 1.0)
    assert superlink.state.replace_key(NOOP_FLWR_AID, node_id, new)
    superlink.close()
    again = SuperLinkApplication(tmp_path)
    assert [each.public_key for each in again.state.former_keys.of_nodes()[node_id]] == [old]
    with pytest.raises(ValueError, match="replaced"):
        again.state.create_node(NOOP_FLWR_AID, "", old, 1.0)
    again.close()


def test_a_superlink_that_anybody_may_join_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    SuperLinkApplication(tmp_path).close()
    assert caplog.text.count("Anybody who reaches the Fleet API may join as a node") == 1


def test_a_node_stays_online_for_the_supernode_that_goes_on_with_its_next_key(
    superlink: SuperLink, control: Control, node: Node, new_key: Key, tmp_path: Path
) -> None:
    with running(superlink) as (run, _):
        message_id = run.push(run.message(node.id, arrays(1.0)))
        assert replace_key(control, node.id, public_file(tmp_path, new_key))
        (known,) = [each for each in control.nodes() if each.node_id == node.id]
        assert known.online
        node.client, node.key = superlink.fleet_client(new_key), new_key
        request = SendNodeHeartbeatRequest(node=node.proto, heartbeat_interval=HEARTBEAT_SECONDS)
        assert node.client.SendNodeHeartbeat(request).success
        # It has shown itself: nobody else with its key is admitted beside it.
        with pytest.raises(httpx.HTTPStatusError) as raised:
            activate(superlink, new_key)
        assert status_of(raised)[1] == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED
        node.answer(Reply(node.take(node.pull()), arrays(2.0)))
        assert not run.reply(message_id).has_error()
