"""Runs of the real app on a real federation: state persists, and runs stay apart."""

import json
from pathlib import Path

import pytest

from fedstate.local.federation import Federation
from fedstate.local.runs import start, submit, wait_for_runs
from tests.stack.conftest import APP, command
from tests.stack.processes.broken import FAILING, broken_app

NODES = 3
ROUNDS = 2
RUN_SECONDS = 280.0


@pytest.fixture(scope="module")
def runs(federation: Federation) -> list[int]:
    """Two runs at the same time, with different seeds."""
    configs = [{"num-rounds": ROUNDS, "seed": seed, "min-nodes": NODES} for seed in (1, 2)]
    ids = [submit(federation, APP, configs[0]), start(federation, APP, configs[1])]
    statuses = wait_for_runs(federation, ids, RUN_SECONDS)
    assert set(statuses.values()) == {"finished:completed"}
    return ids


def test_verify_passes_on_two_runs_at_once(federation: Federation, runs: list[int]) -> None:
    answer = command(
        "fedstate",
        "verify",
        *map(str, runs),
        "--format",
        "json",
        environment=federation.environment,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    report = json.loads(answer.stdout)
    assert report["schema"] == "fedstate.report/2"
    assert report["verdict"] == "kept"
    assert report["engine"] == "processes"
    assert {run["status"] for run in report["runs"]} == {"finished:completed"}
    for run in report["runs"]:
        assert sorted(node["partition_id"] for node in run["nodes"]) == list(range(NODES))
        for node in run["nodes"]:
            assert [entry["round"] for entry in node["entries"]] == [1, 2]
            assert node["asked"] == "answered"
            assert len(node["steps"]) == node["step_count"] == 2 * ROUNDS + 1, "and the audit"
            losses = [entry["loss"] for entry in node["entries"]]
            assert losses[1] < losses[0], "the second step continues what the first learned"


def test_verify_shows_a_table(federation: Federation, runs: list[int]) -> None:
    answer = command("fedstate", "verify", str(runs[0]), environment=federation.environment)
    assert answer.returncode == 0
    assert f"run {runs[0]}, finished:completed" in answer.stdout
    assert "✓ isolation" in answer.stdout


def test_verify_names_a_run_that_is_not_there(federation: Federation) -> None:
    answer = command("fedstate", "verify", "0012345", environment=federation.environment)
    assert answer.returncode == 2
    assert "The SuperLink has no run whose ID begins with 0012345" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_server_shows_one_line_a_round(federation: Federation, runs: list[int]) -> None:
    answer = command("flwr", "log", "--show", str(runs[0]), environment=federation.environment)
    lines = [line for line in answer.stdout.splitlines() if line.startswith("round ")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert "nodes 3/3" in lines[0]


def test_a_bad_run_config_ends_in_one_sentence(federation: Federation) -> None:
    run_id = start(federation, APP, {"num-rounds": 0})
    assert wait_for_runs(federation, [run_id], RUN_SECONDS) == {run_id: "finished:failed"}
    log = command("flwr", "log", "--show", str(run_id), environment=federation.environment).stdout
    assert "Run config 'num-rounds' is 0, but has to be a whole number from 1" in log
    assert "Traceback" not in log


def test_too_few_nodes_end_a_run_after_a_bounded_wait(federation: Federation) -> None:
    run_id = start(federation, APP, {"min-nodes": NODES + 1, "node-timeout": 1.0})
    assert wait_for_runs(federation, [run_id], RUN_SECONDS) == {run_id: "finished:failed"}
    log = command("flwr", "log", "--show", str(run_id), environment=federation.environment).stdout
    assert "3 of the 4 nodes that 'min-nodes' asks for are connected after 1 s" in log


@pytest.mark.allowed_errors(r"no data today")
def test_nodes_that_cannot_train_fail_the_run_with_their_reason(
    federation: Federation, tmp_path: Path
) -> None:
    app = broken_app(tmp_path, FAILING)
    run_id = start(federation, app, {"min-nodes": NODES})
    assert wait_for_runs(federation, [run_id], RUN_SECONDS) == {run_id: "finished:failed"}
    log = command("flwr", "log", "--show", str(run_id), environment=federation.environment).stdout
    assert "No node trained in round 1" in log
    assert "no data today" in log
