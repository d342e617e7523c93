"""Runs on the containers: state persists, runs stay apart, and a restart loses neither."""

import json
import os
from typing import Any

import pytest

from fedstate.local.runs import start, wait_for_runs
from tests.stack.conftest import APP, ROOT, command
from tests.stack.containers.conftest import COMPLETED, RUN_SECONDS, Runs, guest
from tests.stack.containers.stack import NODES, Stack
from tests.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]

LOOKING = ROOT / "tests" / "apps" / "looking"


def keras(stack: Stack, seed: int, rounds: int) -> int:
    return start(stack, APP, {"num-rounds": rounds, "seed": seed, "min-nodes": len(NODES)})


def verify(stack: Stack, *run_ids: int) -> dict[str, Any]:
    report = stack.tool("fedstate", "verify", "--format", "json", *map(str, run_ids), check=False)
    return dict(json.loads(report))


def test_four_runs_of_two_apps_at_once_keep_their_state_and_stay_apart(
    stack: Stack, runs: Runs
) -> None:
    report = verify(stack, *runs.keras, *runs.guests)
    assert report["passed"], report["checks"]
    assert report["engine"] == "containers"
    assert {run["status"] for run in report["runs"]} == {COMPLETED}
    by_id = {int(run["run_id"]): run for run in report["runs"]}
    assert by_id.keys() == {*runs.keras, *runs.guests}
    for run in (by_id[run_id] for run_id in runs.keras):
        partitions = sorted(node["partition_id"] for node in run["nodes"])
        assert partitions == [k - 1 for k in NODES]
        for node in run["nodes"]:
            assert [entry["round"] for entry in node["entries"]] == [1, 2, 3]


def test_a_node_is_looked_into_by_its_number_up_or_stopped(stack: Stack, runs: Runs) -> None:
    def looked(command: str) -> Any:
        return json.loads(stack.shell(f"fedstate {command} --format json"))

    run_id = str(runs.keras[0])
    up = looked("state list --node 2")
    (row,) = [each for each in up if each["run"] == run_id]
    failed = [
        each["reason"] for each in looked(f"state log {run_id} --node 2") if each.get("reason")
    ]
    # On a busy machine a step may have failed and been made again; the log says so then.
    assert (row["status"], row["failures"]) == ("finished", len(failed))
    values = {each["name"]: each for each in looked(f"state show {run_id} --node 2")["values"]}
    assert values["loss"]["type"] == "history"
    nodes = {each["number"]: each for each in looked("node list")}
    assert nodes.keys() == set(NODES)
    assert {each["status"] for each in nodes.values()} == {"online"}
    assert all(each["store_bytes"] > 0 for each in nodes.values())
    # With its executor, which is unwell without it.
    services = ("supernode-2", "executor-2")
    stack.compose("stop", *services)
    try:
        assert looked("state list --node 2") == up
    finally:
        stack.start(*services)


def test_the_list_of_somebody_else_s_app_grows_round_by_round(stack: Stack, runs: Runs) -> None:
    log = command(
        "flwr", "log", "--show", str(runs.guests[0]), environment=stack.environment
    ).stdout
    lengths = [
        len(json.loads(line.split("n_val ")[1])) for line in log.splitlines() if "n_val" in line
    ]
    assert sorted(lengths) == [length for length in (1, 2, 3) for _ in NODES]


def rooms(stack: Stack) -> list[str]:
    """Return what the rooms' directories of two executors hold."""
    services = ("serverapp", "executor-1")
    return [stack.run_inside(service, "ls", "/rooms").stdout for service in services]


def test_each_run_has_a_user_and_directories_of_its_own(stack: Stack) -> None:
    runs = [start(stack, LOOKING, {"nodes": len(NODES)}) for _ in range(2)]
    statuses = wait_for_runs(stack, runs, RUN_SECONDS)
    assert set(statuses.values()) == {COMPLETED}, stack.logs()
    users = []
    for run_id in runs:
        record = f"runs/{run_id}/looked.json"  # where a ServerApp starts, and what is kept of it
        seen = json.loads(stack.run_inside("serverapp", "cat", record).stdout)
        assert len(seen["clients"]) == len(NODES)
        for found in (seen["server"], *seen["clients"]):
            users.append(found["user"])
            assert found["user"] == found["group"] > 1_000_000_000
            assert found["groups"] == []
            assert {*found["capabilities"]} == {"0" * 16}
            assert found["no_new_privileges"]
            for place in ("home", "temporary"):
                assert found[place].startswith(f"/rooms/{run_id}/"), found[place]
            assert "allowed" not in found["refused"].values(), found["refused"]
    assert len({*users}) == len(users), "no two rooms have one user"
    wait_until(lambda: not any(rooms(stack)), 30, "the end of the runs' rooms")


def test_people_without_python_run_the_app(stack: Stack) -> None:
    settings = f"num-rounds=0 min-nodes={len(NODES)}"
    answer = stack.tool("flwr", "run", "app", "--run-config", settings, "--format", "json")
    run_id = int(json.loads(answer)["run-id"])
    # The app refuses the setting, which is as far as a test of this way in has to go.
    assert wait_for_runs(stack, [run_id], RUN_SECONDS) == {run_id: "finished:failed"}
    log = stack.tool("flwr", "log", "--show", str(run_id))
    assert "Run config 'num-rounds' is 0" in log


@pytest.mark.skipif(not os.environ.get("FEDSTATE_SLOW"), reason="takes a minute: make test-long")
def test_a_restart_of_the_superlink_alone_loses_nothing(stack: Stack, runs: Runs) -> None:
    nodes = {node.node_id for node in stack.nodes()}
    stack.compose("restart", "superlink")
    stack.wait_until_healthy("superlink")
    stack.wait_until_connected()
    assert {node.node_id for node in stack.nodes()} == nodes
    run_id = guest(stack)
    assert wait_for_runs(stack, [run_id], RUN_SECONDS) == {run_id: COMPLETED}
    assert verify(stack, *runs.keras, run_id)["passed"]


@pytest.mark.skipif(not os.environ.get("FEDSTATE_SLOW"), reason="takes a minute: make test-long")
def test_down_and_up_keep_runs_and_registrations(stack: Stack, runs: Runs) -> None:
    nodes = {node.node_id for node in stack.nodes()}
    stack.down_by_name()
    # What follows needs no TensorFlow, nor that each container was asked whether it is healthy.
    stack.up(wait=False, FEDSTATE_EXECUTOR_PRELOAD="numpy")
    assert {node.node_id for node in stack.nodes()} == nodes
    run_id = guest(stack)
    assert wait_for_runs(stack, [run_id], RUN_SECONDS) == {run_id: COMPLETED}
    assert verify(stack, *runs.keras, run_id)["passed"]
