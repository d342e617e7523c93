"""What is on a node, and what its log says, as an operator asks for it."""

import csv
import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.commands import fedstate
from tests.operators_directory import (
    ENDED,
    FAILED_ROUND,
    GOING,
    PLAIN,
    REASON,
    ROUNDS,
)
from tests.unit.inspection.stores import RUN, fill
from tests.unit.store.logged import add_run, commit, fail

from fedstate.store.node_store import NodeStore


def rows(*arguments: str | Path) -> list[dict[str, Any]]:
    done = fedstate("state", *arguments, "--format", "json")
    assert done.exit_code == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture
def here(operators_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(operators_place)
    return operators_place


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of five runs: under way, ended, failed, not known to the SuperLink, refused."""
    with closing(NodeStore(tmp_path / "state")) as store:
        for run_id in (1, 2, 3, 4):
            add_run(store, run_id)
            commit(store, run_id, 1)
        fail(store, 1, 2)
        commit(store, 1, 3)
        fail(store, 3, 2, "There was no memory left [for it].")
        for run_id in (2, 3):
            store.finish_run(run_id)
        store.note_unknown(4)
        fail_unknown(store, 5)
    return tmp_path / "state"


def fail_unknown(store: NodeStore, run_id: int) -> None:
    """Let the node refuse a message of a run that it does not have."""
    from tests.unit.store.logged import attempt

    from fedstate.store.logged_store import Failure

    store.record_failure("refused", Failure(run_id, "It is not allowed.", attempt()))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("place", [("--node", "2"), ("--state", "node.backup")])
def test_the_runs_of_a_node_are_listed(place: tuple[str, str]) -> None:
    by_run = {row.pop("run"): row for row in rows("list", *place)}
    assert set(by_run) == {str(run) for run in (PLAIN, ENDED, GOING)}
    going = by_run[str(GOING)]
    assert going.pop("last_step").endswith("+00:00")
    assert going.pop("size_bytes") > 10_000
    assert going == {"status": "running", "rounds": ROUNDS, "steps": ROUNDS, "failures": 1}
    assert by_run[str(ENDED)]["status"] == "finished"


def test_each_status_is_told_from_the_others(store: Path) -> None:
    statuses = {row["run"]: row["status"] for row in rows("list", "--state", store)}
    assert statuses == {
        "1": "running",
        "2": "finished",
        "3": "failed",
        "4": "unknown",
        "5": "refused",
    }
    failures = {row["run"]: row["failures"] for row in rows("list", "--state", store)}
    assert failures == {"1": 1, "2": 0, "3": 1, "4": 0, "5": 1}
    table = fedstate("state", "list", "--state", store).stdout
    assert "not known to the SuperLink" in table
    assert " ago)" in table


def test_a_table_in_a_pipe_is_as_wide_as_it_is(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = fedstate("state", "log", "--state", store).stdout.splitlines()
    assert max(map(len, shown)) > 80
    assert sum("There was no memory left [for it]." in line for line in shown) == 1


def test_the_log_has_all_attempts_and_the_reasons_of_failures(store: Path) -> None:
    everything = rows("log", "--state", store)
    assert [(row["run"], row["step"], row["outcome"]) for row in everything][-5:] == [
        ("4", 1, "committed"),
        ("1", 2, "failed"),
        ("1", 3, "committed"),
        ("3", 2, "failed"),
        ("5", 1, "failed"),
    ]
    failed = rows("log", "--state", store, "--failed")
    assert [row["reason"] for row in failed] == [
        "It failed.",
        "There was no memory left [for it].",
        "It is not allowed.",
    ]
    assert [row["step"] for row in rows("log", "1", "--state", store)] == [1, 2, 3]


@pytest.mark.usefixtures("here")
def test_a_run_is_named_by_its_first_digits() -> None:
    (row,) = rows("log", "47", "--node", "2", "--failed")
    assert (row["run"], row["round"]) == (str(GOING), str(FAILED_ROUND))
    assert row["reason"] == REASON
    assert row["app_seconds"] == 0.5
    missing = fedstate("state", "log", "5", "--node", "2")
    assert missing.exit_code == 1
    assert "has no run whose ID begins with 5" in missing.stderr


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", ["list", "log"])
def test_csv_has_the_exact_numbers_of_json(command: str) -> None:
    written = fedstate("state", command, "--node", "1", "--format", "csv").stdout
    found = list(csv.DictReader(io.StringIO(written)))
    expected = rows(command, "--node", "1")
    assert found == [{name: str(row[name]) for name in found[0]} for row in expected]


def test_a_store_is_read_while_its_supernode_runs_and_not_changed(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    with closing(NodeStore(directory)) as store:
        add_run(store, 1)
        commit(store, 1, 1)
        before = {each.name: each.stat().st_mtime_ns for each in directory.iterdir()}
        for command in ("list", "log"):
            assert len(rows(command, "--state", directory)) == 1
        assert {each.name: each.stat().st_mtime_ns for each in directory.iterdir()} == before


def test_a_store_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    for command in (["list"], ["log"], ["show", "1"]):
        done = fedstate("state", *command, "--state", tmp_path / "none")
        assert done.exit_code == 1
        assert "There is no node store in" in done.stderr


def test_rounds_that_only_the_ledger_of_the_app_has_are_in_the_log_as_in_the_list(
    tmp_path: Path,
) -> None:
    with closing(NodeStore(tmp_path)) as store:
        fill(store)
    where = ("--state", tmp_path, "--format", "json")
    rows = json.loads(fedstate("state", "log", str(RUN), *where).stdout)
    assert [row["round"] for row in rows] == ["1", "2", "3", ""]
    listed = json.loads(fedstate("state", "list", *where).stdout)
    assert {row["run"]: row["rounds"] for row in listed}[str(RUN)] == 3
