"""The nodes of a SuperLink, as their operator sees and changes them."""

import json
from pathlib import Path

import pytest
from flwr.common.constant import NOOP_FLWR_AID
from tests.commands import fedstate
from tests.unit.superlink_in_process import SuperLink

from fedstate.certificates.keys import ensure_node_key, fingerprint
from fedstate.flower.control import load_public_key

pytestmark = pytest.mark.usefixtures("connected")


def said(*arguments: str | Path) -> str:
    done = fedstate("node", *arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def refusal(*arguments: str | Path) -> str:
    """Return the one sentence in which a command ends."""
    done = fedstate("node", *arguments)
    assert done.exit_code == 1
    # The SuperLink of this process logs there, too.
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("fedstate: ")]
    return line


def listed(node_id: str) -> dict[str, str]:
    (row,) = [
        row for row in json.loads(said("list", "--format", "json")) if row["node"] == node_id
    ]
    return row  # type: ignore[no-any-return]


@pytest.fixture
def node_id(connected: None, tmp_path: Path) -> str:
    """A node that an operator has registered."""
    key = ensure_node_key(tmp_path / "old")
    assert fedstate("enrol", key).exit_code == 0
    encoded = fingerprint(load_public_key(key))
    rows = json.loads(said("list", "--format", "json"))
    (row,) = [row for row in rows if row["key"] == encoded]
    return str(row["node"])


def test_nodes_are_listed_with_what_is_known_of_them(node_id: str) -> None:
    row = listed(node_id)
    assert row["status"] == "registered"
    assert row["registered"].startswith("20")
    assert set(row) == {"node", "status", "name", "location", "registered", "key"}
    assert "registered" in said("list")


def test_a_key_is_replaced_once(tmp_path: Path, node_id: str) -> None:
    new = ensure_node_key(tmp_path / "new")
    assert said("replace-key", node_id, new).startswith(
        f"Node {node_id} has the key {new}. Its SuperNode goes on"
    )
    assert listed(node_id)["key"] == fingerprint(load_public_key(new))
    assert said("replace-key", node_id, new) == f"Node {node_id} has the key {new} already.\n"
    old = tmp_path / "old" / "node.pub"
    assert f"has the key {old}, or has had it before" in refusal("replace-key", node_id, old)


def test_a_node_that_was_unregistered_is_taken_back(superlink: SuperLink, node_id: str) -> None:
    superlink.state.delete_node(NOOP_FLWR_AID, int(node_id))
    assert listed(node_id)["status"] == "unregistered"
    assert said("restore", node_id) == f"Node {node_id} is registered again.\n"
    assert said("restore", node_id) == f"Node {node_id} is registered already.\n"
    assert listed(node_id)["status"] == "registered"


def test_the_first_digits_name_a_node(node_id: str) -> None:
    assert said("restore", node_id[:-1]) == f"Node {node_id} is registered already.\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("first", "'first' is not a node's ID; `fedstate node list` shows them."),
        ("99999999999999999999", "There is no node 99999999999999999999; "),
    ],
)
@pytest.mark.usefixtures("node_id")
def test_a_node_that_is_none_is_said(name: str, message: str) -> None:
    assert message in refusal("restore", name)


def test_a_key_that_is_missing_is_said(tmp_path: Path, node_id: str) -> None:
    assert "new.pub is missing" in refusal("replace-key", node_id, tmp_path / "new.pub")
