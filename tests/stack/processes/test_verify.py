"""Runs of apps that know nothing of us: each is verified, whatever it does with its state."""

import importlib.util
import json
import os
from typing import Any

import pytest

from fedstate.flower.control import control
from fedstate.local.federation import Federation
from fedstate.local.runs import start, wait_for_runs
from fedstate.verify.superlink import gather
from tests.stack.conftest import ROOT, command
from tests.waiting import wait_until

STRANGERS = ROOT / "tests" / "apps" / "strangers"
NODES, ROUNDS = 3, 3
RUN_SECONDS = 280.0

APPS: dict[str, dict[str, Any]] = {
    "counting": {},
    "list": {"kind": "list"},
    "secagg": {"kind": "secagg", "rounds": 2},
    "nothing": {"kind": "nothing"},
    "half": {"fraction": 0.5, "rounds": 4},
    "failing": {"fail-round": 2},
    "stopped": {"seconds": 20.0},
}
# PyTorch is imported by each node for its first message, and by its room. An app with it is
# verified among the examples of Flower's guide, too.
if os.environ.get("FEDSTATE_SLOW") and importlib.util.find_spec("torch") is not None:
    APPS["head"] = {"kind": "head"}

pytestmark = [
    pytest.mark.timeout(2 * RUN_SECONDS),
    # Of the run that is stopped: its app goes on for a moment.
    pytest.mark.allowed_errors(
        r"failed as configured", r"task-token authentication failed", r"Stopped by user"
    ),
]


@pytest.fixture(scope="module")
def reports(federation: Federation) -> dict[str, Any]:
    """Run all apps at once, verify all runs in one go, and return what is said of each."""
    runs = {name: start(federation, STRANGERS, config) for name, config in APPS.items()}
    wait_until(lambda: delivered(federation, runs["stopped"]), RUN_SECONDS)
    stopped = command("flwr", "stop", str(runs["stopped"]), environment=federation.environment)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    statuses = wait_for_runs(federation, list(runs.values()), RUN_SECONDS)
    ended = {name: statuses[run_id] for name, run_id in runs.items()}
    assert ended.pop("stopped") == "finished:stopped"
    assert set(ended.values()) == {"finished:completed"}, ended
    answer = command(
        *("fedstate", "verify", *map(str, runs.values()), "--format", "json"),
        environment=federation.environment,
    )
    report = json.loads(answer.stdout)
    assert answer.returncode == 0, [each["text"] for each in report["findings"]]
    by_id = {run["run_id"]: run for run in report["runs"]}
    found = {name: by_id[str(run_id)] for name, run_id in runs.items()}
    for run in found.values():
        run["findings"] = [f for f in report["findings"] if f["run_id"] == run["run_id"]]
    return found


def delivered(federation: Federation, run_id: int) -> bool:
    with control(federation.connection) as link:
        (run,) = gather(link.evidence([run_id], ask_nodes=False)).runs
    return any(node.deliveries for node in run.nodes.values())


def steps_of(run: dict[str, Any]) -> list[int]:
    return [node["step_count"] for node in run["nodes"]]


@pytest.mark.parametrize("name", APPS)
def test_every_promise_was_kept(reports: dict[str, Any], name: str) -> None:
    assert reports[name]["verdict"] == "kept"
    assert {node["asked"] for node in reports[name]["nodes"]} == {"answered"}


@pytest.mark.parametrize("name", [name for name in ("counting", "list", "head") if name in APPS])
def test_state_goes_on_from_step_to_step(reports: dict[str, Any], name: str) -> None:
    assert steps_of(reports[name]) == [ROUNDS] * NODES
    for node in reports[name]["nodes"]:
        states = [step["stored"] for step in node["steps"]]
        assert len(set(states)) == ROUNDS
        assert [step["handed_out"] for step in node["steps"]][1:] == states[:-1]


def test_secure_aggregation_takes_several_steps_a_round(reports: dict[str, Any]) -> None:
    assert steps_of(reports["secagg"]) == [4 * 2] * NODES


def test_an_app_that_keeps_nothing_has_one_state(reports: dict[str, Any]) -> None:
    states = {step["stored"] for node in reports["nothing"]["nodes"] for step in node["steps"]}
    assert len(states) == 1


def test_nodes_that_were_not_sampled_made_no_step(reports: dict[str, Any]) -> None:
    assert sum(steps_of(reports["half"])) == 4


def test_a_failed_step_is_told_and_its_state_is_that_before(reports: dict[str, Any]) -> None:
    (finding,) = reports["failing"]["findings"]
    assert (finding["kind"], finding["verdict"]) == ("failed-step", "kept")
    assert "failed as configured" in finding["text"]
    (node,) = (each for each in reports["failing"]["nodes"] if each["failed"])
    failed = next(step for step in node["steps"] if step["outcome"] == "failed")
    assert failed["stored"] == failed["handed_out"]


def test_what_was_under_way_in_a_stopped_run_is_told(reports: dict[str, Any]) -> None:
    kinds = {finding["kind"] for finding in reports["stopped"]["findings"]}
    assert kinds
    assert kinds <= {"not-answered", "failed-step"}
