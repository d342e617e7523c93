"""The nodes of a SuperLink, as their operator sees and changes them."""

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flwr.common.constant import NOOP_FLWR_AID
from tests.commands import fedstate
from tests.unit.superlink_in_process import SuperLink

from fedstate.certificates.authority import ensure_authority
from fedstate.certificates.keys import ensure_node_key, fingerprint
from fedstate.connection import Connection, write_connection
from fedstate.flower.control import load_public_key
from fedstate.local.process import free_port
from fedstate.store.node_store import NodeStore

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


def listed(node_id: str) -> dict[str, Any]:
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
    assert "registered" in (table := said("list"))
    moment = datetime.fromisoformat(row["registered"])
    assert moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") in table
    assert row["registered"] not in table


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


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node_id: str) -> Path:
    """The directory of a local federation whose first node is the one that is registered."""
    monkeypatch.chdir(tmp_path)
    for number, key in ((1, tmp_path / "old"), (2, tmp_path / "second")):
        home = tmp_path / ".fedstate" / f"node-{number}"
        ensure_node_key(key)
        shutil.copytree(key, home)
        NodeStore(home / "flwr/fedstate/nodes/key").close()
    return tmp_path


def test_the_nodes_of_a_local_federation_have_their_directories(
    local: Path, node_id: str
) -> None:
    row = listed(node_id)
    assert (row["number"], row["status"]) == (1, "registered")
    directory = Path(row["directory"])
    assert row["directory"] == ".fedstate/node-1/flwr/fedstate/nodes/key"
    assert row["store_bytes"] == (directory / "node.db").stat().st_size
    (second,) = [
        each for each in json.loads(said("list", "--format", "json")) if each["number"] == 2
    ]
    assert (second["node"], second["status"]) == ("", "not known")
    assert second["key"] == fingerprint(load_public_key(local / "second" / "node.pub"))
    written = said("list", "--format", "csv").splitlines()
    assert written[0] == "number,node,status,name,location,registered,store_bytes,directory,key"
    assert written[1].split(",")[:2] == ["1", node_id]


def test_the_directories_are_shown_while_no_superlink_can_be_reached(
    local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLWR_HOME")
    done = fedstate("node", "list", "--format", "json")
    assert done.exit_code == 0
    assert [row["number"] for row in json.loads(done.stdout)] == [1, 2]
    assert "has no connection yet" in done.stderr
    # Its own connection is the one that is used there.
    target = Connection("local", f"127.0.0.1:{free_port()}", local / "authority" / "ca.crt")
    ensure_authority(local / "authority")
    write_connection(target, default=True, home=local / ".fedstate" / "flwr")
    done = fedstate("node", "list", "--format", "json")
    assert [row["status"] for row in json.loads(done.stdout)] == ["not known"] * 2
    assert f"The SuperLink at {target.address} cannot be reached" in done.stderr
