"""How commands name the store that they are about."""

import os
import re
from pathlib import Path

import pytest
from tests.bad_paths import bound_by_permissions
from tests.commands import fedstate

from fedstate.cli.place import local_stores, place_of, places_of, without
from fedstate.errors import SettingError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_directory_is_what_it_says() -> None:
    assert place_of(Path("some/where"), None) == Path("some/where")


def test_a_node_of_the_local_federation_has_a_number(here: Path) -> None:
    for number in (1, 2, 10):
        directory = here / f".fedstate/node-{number}/flwr/fedstate/nodes/key-{number}"
        directory.mkdir(parents=True)
        (directory / "node.db").touch()
    (here / ".fedstate/node-3").mkdir()
    assert place_of(None, 10) == Path(".fedstate/node-10/flwr/fedstate/nodes/key-10")
    with pytest.raises(SettingError, match=r"There is no node 3 .* there is 1, 2, 10\."):
        place_of(None, 3)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("state", "node", "message"),
    [
        (Path("state"), 1, "both name a store"),
        (None, None, "Which node"),
        (None, 1, "there is none here"),
    ],
)
def test_a_mistake_is_one_sentence(state: Path | None, node: int | None, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        place_of(state, node)


def test_a_node_that_has_had_two_keys_has_the_store_that_was_used_last(here: Path) -> None:
    stores = [here / f".fedstate/node-1/flwr/fedstate/nodes/{name}" for name in ("a", "b")]
    for age, store in enumerate(stores):
        store.mkdir(parents=True)
        (store / "node.db").touch()
        os.utime(store / "node.db", (1000 - age, 1000 - age))
    assert local_stores() == {1: Path(".fedstate/node-1/flwr/fedstate/nodes/a")}
    # What is used at the moment is in the log beside it.
    (stores[1] / "node.db-wal").touch()
    assert local_stores() == {1: Path(".fedstate/node-1/flwr/fedstate/nodes/b")}


@pytest.mark.parametrize("closed", ["", "node-2", "node-2/flwr/fedstate/nodes"])
@pytest.mark.parametrize(
    "command",
    [
        *(("state", "list", "--node", "1"), ("logs", "1"), ("node", "list")),
        *(("local", "logs", "2"), ("local", "logs", "2", "--directory", ".fedstate")),
    ],
    ids=" ".join,
)
def test_a_directory_of_the_federation_that_may_not_be_read_is_not_an_empty_one(
    here: Path, command: tuple[str, ...], closed: str
) -> None:
    (here / ".fedstate/node-2/flwr/fedstate/nodes").mkdir(parents=True)
    (here / ".fedstate/superlink").mkdir()
    (here / ".fedstate/superlink/log").touch()
    (here / ".fedstate" / closed).chmod(0)
    with bound_by_permissions():
        done = fedstate(*command)
    assert done.exit_code == 1
    if "logs" in command and closed.endswith("nodes"):
        assert re.search("There is no (output here|log of '2')", done.stderr), "it is beside it"
    else:
        assert f"'{Path('.fedstate') / closed}" in done.stderr
        assert "may not be used by this user (permission denied)" in done.stderr


def test_a_federation_elsewhere_is_named_by_its_directory(here: Path) -> None:
    missing = fedstate("state", "log", "--node", "1", "--directory", "there")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("fedstate: 'there' does not exist. ")
    (here / "there").mkdir()
    empty = fedstate("state", "log", "--node", "1", "--directory", "there")
    assert "No node in 'there' has a store yet" in empty.stderr
    directory = here / "there/node-1/flwr/fedstate/nodes/key"
    directory.mkdir(parents=True)
    (directory / "node.db").touch()
    found = fedstate("state", "log", "--node", "2", "--directory", "there")
    assert "There is no node 2 with a store in 'there'; there is 1." in found.stderr


def test_several_stores_are_named_and_without_any_all_nodes_are_meant(here: Path) -> None:
    for number in (2, 1):
        directory = here / f".fedstate/node-{number}/flwr/fedstate/nodes/key"
        directory.mkdir(parents=True)
        (directory / "node.db").touch()
    nodes = [Path(f".fedstate/node-{number}/flwr/fedstate/nodes/key") for number in (1, 2)]
    assert places_of([], [], every=True) == nodes
    assert places_of([Path("a"), Path("b")], [2]) == [Path("a"), Path("b"), nodes[1]]
    assert places_of([Path("a")], [], every=True) == [Path("a")]
    with pytest.raises(SettingError, match="Which node"):
        places_of([], [])


def test_all_nodes_of_no_federation(here: Path) -> None:
    with pytest.raises(SettingError, match="there is none here"):
        places_of([], [], every=True)


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["list", "--node", "2", "--format", "csv"], ["list", "--format", "csv"]),
        (["list", "--node=2", "--directory=a", "1"], ["list", "1"]),
        (["list"], ["list"]),
    ],
)
def test_the_place_is_left_out_of_what_is_run_elsewhere(
    arguments: list[str], kept: list[str]
) -> None:
    assert without(arguments, "--node", "--directory") == kept
