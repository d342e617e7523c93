"""A store goes on with the key that replaced its node's, and with no other."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.common.constant import NOOP_FLWR_AID
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import SuperLink
from tests.unit.supernode.stepping import Node

from fedstate.flower.clients import PATIENCE_SECONDS
from fedstate.flower.own_key import KeyPair
from fedstate.store.errors import StoreForeignError
from fedstate.store.node_store import NodeStore
from fedstate.supernode.main import fingerprint
from fedstate.supernode.membership import Membership, Patience, Timing
from fedstate.supernode.ownership import Ownership, directory_name
from fedstate.supernode.session import SessionFile


@pytest.fixture
def node(stepping_node: Node) -> Node:
    """A node that has made a step, and whose SuperNode has left."""
    run_id = stepping_node.superlink.start_run()
    stepping_node.store.bind("SHA256:old")
    stepping_node.pull_new(run_id)
    stepping_node.train(stepping_node.take_task(run_id))
    stepping_node.wait_for_end()
    return stepping_node


@pytest.fixture
def session(tmp_path: Path) -> Iterator[SessionFile]:
    with closing(SessionFile(tmp_path / "session", PATIENCE_SECONDS)) as session:
        yield session


def replace_key(node: Node, keys: KeyPair) -> None:
    encoded = keys[1].public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert node.superlink.state.replace_key(NOOP_FLWR_AID, node.api.node_id, encoded)


def membership(superlink: SuperLink, keys: KeyPair, session: SessionFile) -> Membership:
    api = superlink.api(superlink.connection(), keys)
    timing = Timing(first_retry=0.0, retry=0.0)
    return Membership(api, session, register=False, patience=Patience(1), timing=timing)


def test_a_store_that_is_nobodys_is_bound_and_stays_so(node: Node) -> None:
    assert node.store.owner == "SHA256:old"
    assert not Ownership(node.store, "SHA256:old").contested


def test_a_store_in_use_is_found_by_the_next_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [fingerprint(key_pair()[1]) for _ in range(3)]
    own = tmp_path / directory_name(keys[0])
    with closing(NodeStore(own)) as store:
        ownership = Ownership(store, keys[0])
        for key in keys[1:]:
            ownership.pass_on(key)
    with closing(NodeStore(tmp_path / directory_name(keys[2]))) as store:
        assert not Ownership(store, keys[2]).contested
    with closing(NodeStore(tmp_path / "named")) as store:
        Ownership(store, keys[0]).pass_on(keys[1])
        assert store.owner == keys[1]
    assert len(list(tmp_path.iterdir())) == 4
    assert "has its old key" not in caplog.text
    # What cannot be written ends nothing.
    with closing(NodeStore(own)) as store:
        Ownership(store, keys[0]).pass_on(keys[1])
    assert "has its old key" in caplog.text


def test_the_key_that_replaced_the_nodes_goes_on_with_its_store(
    node: Node, session: SessionFile, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="flwr.fedstate")
    keys = key_pair()
    replace_key(node, keys)
    ownership = Ownership(node.store, fingerprint(keys[1]))
    assert ownership.contested
    joining = membership(node.superlink, keys, session)
    ownership.settle(joining, node.state)
    assert joining.node_id == node.api.node_id
    assert node.store.owner == fingerprint(keys[1])
    assert not joining.refused_is_final  # from now on it is as patient as any
    assert f"The key of node {joining.node_id} was replaced" in caplog.text
    joining.leave(for_good=True)


def test_a_store_without_a_row_is_known_by_its_context(node: Node, session: SessionFile) -> None:
    for run in node.store.runs():
        node.store._steps.free(str(run.run_id))
    assert node.store.last_row() is None
    keys = key_pair()
    replace_key(node, keys)
    joining = membership(node.superlink, keys, session)
    Ownership(node.store, fingerprint(keys[1])).settle(joining, node.state)
    assert node.store.owner == fingerprint(keys[1])
    joining.leave(for_good=True)


def test_the_key_of_another_node_does_not(node: Node, session: SessionFile) -> None:
    keys = key_pair()
    with node.superlink.api(node.superlink.connection(), keys) as api:
        api.register()
    joining = membership(node.superlink, keys, session)
    with pytest.raises(StoreForeignError, match="SuperLink knows this key as node") as raised:
        Ownership(node.store, fingerprint(keys[1])).settle(joining, node.state)
    assert f"and the store is of node {node.api.node_id}." in str(raised.value)
    assert "belongs to the node with key SHA256:old" in str(raised.value)
    assert node.store.owner == "SHA256:old"
    joining.leave(for_good=True)


def test_a_key_that_nobody_has_registered_does_not(node: Node, session: SessionFile) -> None:
    keys = key_pair()
    joining = membership(node.superlink, keys, session)
    with pytest.raises(StoreForeignError, match="its key is not registered there") as raised:
        Ownership(node.store, fingerprint(keys[1])).settle(joining, node.state)
    assert "`fedstate node replace-key` gives a node another key" in str(raised.value)
    assert node.store.owner == "SHA256:old"
