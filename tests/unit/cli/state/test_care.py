"""The commands that look after a node's state, as an operator uses them."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.commands import fedstate

from fedstate.logs.run_files import RunFile, outputs_in
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value
from fedstate.supernode.output import output_of

LAYER = b"layer" * 10_000


def result(*arguments: str | Path) -> dict[str, Any]:
    done = fedstate("state", *arguments, "--format", "json")
    assert done.exit_code == 0, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with closing(NodeStore(tmp_path / "state")) as store:
        store.bind("SHA256:node")
        run = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)
        store.add_run(run, Value(b"record"), Value(b"fab"), Value(b"context", [LAYER]))
    return tmp_path / "state"


def test_an_intact_store_is_checked_while_it_is_in_use(directory: Path) -> None:
    with closing(NodeStore(directory)):
        report = result("check", "--state", directory)
    assert report["state"] == "intact"
    assert (report["node"], report["runs"], report["generation"]) == ("SHA256:node", 1, 1)


def test_a_damaged_store_is_reported_and_restored_from_a_backup(
    directory: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    assert result("backup", backup, "--state", directory)["generation"] == 1

    database = directory / "node.db"
    content = database.read_bytes()
    place = content.index(LAYER[:1000])
    database.write_bytes(content[:place] + b"x" + content[place + 1 :])
    damaged = fedstate("state", "check", "--state", directory, "--format", "json")
    assert damaged.exit_code == 1
    (problem,) = json.loads(damaged.stdout)["problems"]
    assert "does not have its checksum" in problem

    result("restore", backup, "--state", directory, "--replace")
    assert result("check", "--state", directory)["state"] == "intact"
    with closing(NodeStore(directory)) as store:
        assert store.context(1) == Value(b"context", [LAYER])


def test_an_older_copy_is_reported(directory: Path) -> None:
    database = directory / "node.db"
    older = database.read_bytes()
    with closing(NodeStore(directory)) as store:
        store.set_context(1, 1, Value(b"newer"))
    database.write_bytes(older)
    damaged = fedstate("state", "check", "--state", directory)
    assert damaged.exit_code == 1
    assert "is an older copy, it ends at commit 1" in damaged.stdout


def test_the_key_of_an_encrypted_store_is_rotated(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("01" * 32)
    new.write_text("02" * 32)
    NodeStore(tmp_path / "state", key=b"\x01" * 32).close()
    result("rotate-key", "--state", tmp_path / "state", "--old-key", old, "--new-key", new)
    assert result("check", "--state", tmp_path / "state", "--state-key", new)["state"] == "intact"
    refused = fedstate("state", "check", "--state", tmp_path / "state", "--state-key", old)
    assert refused.exit_code == 1
    assert "is not the key of this node store" in refused.stderr


def test_a_run_is_freed_by_name_once_it_has_ended_or_is_unknown(directory: Path) -> None:
    going = fedstate("state", "free", "1", "--state", directory)
    assert going.exit_code == 1
    assert "Run 1 is still going" in going.stderr
    with closing(NodeStore(directory)) as store:
        store.note_unknown(1)
    assert result("check", "--state", directory)["unknown_runs"] == ["1"]
    output = output_of(directory)
    output.mkdir()
    for run_id in (1, 12):
        RunFile(output, run_id).end()
    missing = fedstate("state", "free", "2", "--state", directory)
    assert missing.exit_code == 1
    assert "has no run 2; it has 1." in missing.stderr
    assert result("free", "1", "--state", directory)["runs"] == ["1"]
    report = result("check", "--state", directory)
    assert (report["runs"], report["contexts"], report["unknown_runs"]) == (0, 0, [])
    assert outputs_in(output).keys() == {12}


def test_which_runs_are_freed_has_to_be_said(directory: Path) -> None:
    for arguments in ([], ["1", "--finished"], ["--finished", "1", "--older-than", "2d"]):
        refused = fedstate("state", "free", "--state", directory, *arguments)
        assert refused.exit_code == 1
        assert "Which runs?" in refused.stderr
    refused = fedstate("state", "free", "--state", directory, "--older-than", "2 days")
    assert refused.exit_code == 1
    assert "--older-than: '2 days' is not a time such as 90s, 12h or 30d.\n" in refused.stderr
    with closing(NodeStore(directory)) as store:
        store.finish_run(1)
    assert result("free", "--state", directory, "--older-than", "1d")["runs"] == []
    assert result("free", "--state", directory, "--older-than", "0s")["runs"] == ["1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "--state", "nowhere"], "There is no node store in 'nowhere'"),
        (["free", "1", "--state", "nowhere"], "There is no node store in 'nowhere'"),
        (["backup", "file", "--state", "nowhere"], "There is no node store in 'nowhere'"),
        (["restore", "nowhere", "--state", "state"], "The backup 'nowhere' cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], message: str) -> None:
    done = fedstate("state", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr


def test_a_table_shows_what_json_does(directory: Path) -> None:
    shown = fedstate("state", "check", "--state", directory).stdout
    assert all(name in shown for name in result("check", "--state", directory))


@pytest.mark.parametrize(
    "command",
    [
        ("restore", "node.backup", "--replace"),
        ("encrypt", "--state-key", "one.key"),
        ("decrypt", "--state-key", "one.key"),
        ("rotate-key", "--old-key", "one.key", "--new-key", "two.key"),
    ],
    ids=lambda command: command[0],
)
def test_what_needs_a_stopped_supernode_says_so_of_one_that_runs(
    command: tuple[str, ...], directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one.key").write_text("01" * 32)
    Path("two.key").write_text("02" * 32)
    result("backup", "node.backup", "--state", directory)
    key = bytes.fromhex("01" * 32) if command[0] in ("decrypt", "rotate-key") else None
    if key is not None:
        result("encrypt", "--state-key", "one.key", "--state", directory)
    before = sorted(each.name for each in directory.iterdir())
    with closing(NodeStore(directory, key=key)):
        refused = fedstate("state", *command, "--state", directory)
    assert refused.exit_code == 1
    assert refused.stderr == (
        f"fedstate: The SuperNode of '{directory}' is running. Stop it, give this command again, "
        "and start it after.\n"
    )
    assert sorted(each.name for each in directory.iterdir()) == before
