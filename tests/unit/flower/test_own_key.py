"""A node that is refused goes on with the next key in its file, if the SuperLink takes that."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from flwr.common.constant import NOOP_FLWR_AID
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import SuperLink

from fedstate.flower.clients import FleetApi
from fedstate.flower.errors import KeyReplacedError, RunStatus, UnauthorizedError
from fedstate.flower.log_pages import LogPage
from fedstate.flower.own_key import KeyPair, OwnKey


@dataclass
class Node:
    """A node that is online, its key file, and how its key is replaced."""

    superlink: SuperLink
    file: Path
    first: KeyPair = field(default_factory=key_pair)
    taken: list[KeyPair] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.write(self.first)
        self.own_key = OwnKey(self.first, self.file)
        self.own_key.on_change = self.taken.append
        self.connection = self.superlink.connection()
        self.api: FleetApi = self.superlink.api(self.connection, self.own_key)
        self.api.register()
        self.api.activate()

    def write(self, pair: KeyPair) -> None:
        self.file.write_bytes(
            pair[0].private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        )

    def replace_at_superlink(self, pair: KeyPair) -> None:
        encoded = pair[1].public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        assert self.superlink.state.replace_key(NOOP_FLWR_AID, self.api.node_id, encoded)

    def replace(self) -> KeyPair:
        pair = key_pair()
        self.write(pair)
        self.replace_at_superlink(pair)
        return pair

    def taken_numbers(self) -> list[object]:
        return [pair[1].public_numbers() for pair in self.taken]


@pytest.fixture
def node(superlink: SuperLink, tmp_path: Path) -> Iterator[Node]:
    node = Node(superlink, tmp_path / "node.key")
    yield node
    node.api.close()


CALLS: list[Callable[[FleetApi], object]] = [
    lambda api: api.heartbeat() or pytest.fail("the node is not known"),
    lambda api: api.pull_message(),
    lambda api: api.wait_for_messages(0, 0.0),
    lambda api: api.run_status(1) is RunStatus.UNKNOWN or pytest.fail("there is no such run"),
    lambda api: api.deactivate(),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_request_that_is_refused_is_made_with_the_next_key(
    node: Node, call: Callable[[FleetApi], object]
) -> None:
    node.api.wait_for_messages(0, 0.0)
    pair = node.replace()
    call(node.api)
    assert node.api.heartbeat()
    assert node.taken_numbers() == [pair[1].public_numbers()]
    assert node.own_key.was_replaced


def test_the_next_key_may_be_there_long_before_the_superlink_takes_it(node: Node) -> None:
    pair = key_pair()
    node.write(pair)
    assert node.api.has_next_key
    assert node.api.heartbeat()
    assert not node.own_key.was_replaced
    node.replace_at_superlink(pair)
    assert node.api.heartbeat()
    assert node.own_key.was_replaced
    assert not node.api.has_next_key


def test_a_key_is_replaced_twice(node: Node) -> None:
    pairs = [node.replace() for _ in range(2) if node.api.heartbeat()]
    assert node.api.heartbeat()
    assert node.taken_numbers() == [pair[1].public_numbers() for pair in pairs]


def test_without_a_next_key_that_the_superlink_takes_the_node_is_refused(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    node.replace_at_superlink(key_pair())
    contents: list[tuple[Callable[[], object], str]] = [
        (lambda: None, ""),  # the key that it has
        (lambda: node.write(key_pair()), ""),  # nobody's
        (lambda: node.file.write_text("nonsense"), "cannot be used"),
        (node.file.unlink, "No such file"),
    ]
    for prepare, said in contents:
        prepare()
        caplog.clear()
        with pytest.raises(UnauthorizedError):
            node.api.heartbeat()
        assert said in caplog.text
    assert not node.own_key.was_replaced


def test_the_key_of_another_node_is_not_taken(node: Node, tmp_path: Path) -> None:
    other = Node(node.superlink, tmp_path / "other.key")
    other.api.close()
    node.replace_at_superlink(key_pair())
    node.write(other.first)
    with pytest.raises(UnauthorizedError):
        node.api.heartbeat()
    assert not node.own_key.was_replaced


def test_what_the_old_key_has_signed_is_not_sent_in_the_name_of_the_new_one(node: Node) -> None:
    page = LogPage([])
    node.replace()
    with pytest.raises(KeyReplacedError):
        node.api.push_log(page)
    assert node.own_key.was_replaced
    node.api.push_log(page)


def test_of_many_requests_that_are_refused_at_once_none_fails(node: Node) -> None:
    node.replace()
    known = []
    threads = [
        threading.Thread(target=lambda: known.append(node.api.heartbeat())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert known == [True] * 8
    assert len(node.taken) == 1
