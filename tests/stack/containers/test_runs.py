"""Runs on the containers: state persists, runs stay apart, and a restart loses neither."""

import json
from typing import Any

import pytest

from fedstate.local.runs import submit, wait_for_runs
from tests.stack.conftest import APP, ROOT, command
from tests.stack.containers.stack import NODES, Stack
from tests.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]

GUEST = ROOT / "tests" / "apps" / "guest"
LOOKING = ROOT / "tests" / "apps" / "looking"
RUN_SECONDS = 600.0
COMPLETED = "finished:completed"


def keras(stack: Stack, seed: int, rounds: int) -> int:
    return submit(stack, APP, {"num-rounds": rounds, "seed": seed, "min-nodes": len(NODES)})


def guest(stack: Stack) -> int:
    return submit(stack, GUEST, {"num-rounds": 3, "num-nodes": len(NODES)})


def verify(stack: Stack, *run_ids: int) -> dict[str, Any]:
    report = stack.tool("fedstate", "verify", "--format", "json", *map(str, run_ids), check=False)
    return dict(json.loads(report))


@pytest.fixture(scope="module")
def two_runs(stack: Stack) -> list[int]:
    """Two runs at the same time, with different seeds."""
    run_ids = [keras(stack, seed, rounds=2) for seed in (1, 2)]
    statuses = wait_for_runs(stack, run_ids, RUN_SECONDS)
    assert set(statuses.values()) == {COMPLETED}, stack.logs()
    return run_ids


def test_two_runs_at_once_keep_their_state_and_stay_apart(
    stack: Stack, two_runs: list[int]
) -> None:
    report = verify(stack, *two_runs)
    assert report["passed"], report["checks"]
    assert report["engine"] == "containers"
    assert [run["status"] for run in report["runs"]] == [COMPLETED, COMPLETED]
    for run in report["runs"]:
        partitions = sorted(node["partition_id"] for node in run["nodes"])
        assert partitions == [k - 1 for k in NODES]
        for node in run["nodes"]:
            assert [entry["round"] for entry in node["entries"]] == [1, 2]


def test_four_runs_of_two_apps_at_once_stay_apart(stack: Stack) -> None:
    run_ids = [keras(stack, 3, rounds=1), guest(stack), keras(stack, 4, rounds=1), guest(stack)]
    statuses = wait_for_runs(stack, run_ids, RUN_SECONDS)
    # The guide's app fails its run itself if a list is not its own, or did not grow by one.
    assert set(statuses.values()) == {COMPLETED}, stack.logs()
    report = verify(stack, run_ids[0], run_ids[2])
    assert report["passed"], report["checks"]


def test_the_list_of_somebody_else_s_app_grows_round_by_round(stack: Stack) -> None:
    run_id = guest(stack)
    assert wait_for_runs(stack, [run_id], RUN_SECONDS) == {run_id: COMPLETED}
    log = command("flwr", "log", "--show", str(run_id), environment=stack.environment).stdout
    lengths = [
        len(json.loads(line.split("n_val ")[1])) for line in log.splitlines() if "n_val" in line
    ]
    assert sorted(lengths) == [length for length in (1, 2, 3) for _ in NODES]


def rooms(stack: Stack) -> list[str]:
    """Return what the rooms' directories of two executors hold."""
    services = ("serverapp", "executor-1")
    return [stack.run_inside(service, "ls", "/rooms").stdout for service in services]


def test_each_run_has_a_user_and_directories_of_its_own(stack: Stack) -> None:
    runs = [submit(stack, LOOKING, {"nodes": len(NODES)}) for _ in range(2)]
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


def test_a_restart_of_the_superlink_loses_nothing(stack: Stack, two_runs: list[int]) -> None:
    nodes = {node.node_id for node in stack.nodes()}
    stack.compose("restart", "superlink")
    stack.wait_until_healthy("superlink")
    stack.wait_until_connected()
    assert {node.node_id for node in stack.nodes()} == nodes
    assert verify(stack, *two_runs)["passed"]
    run_id = guest(stack)
    assert wait_for_runs(stack, [run_id], RUN_SECONDS) == {run_id: COMPLETED}


def test_down_and_up_keep_runs_and_registrations(stack: Stack, two_runs: list[int]) -> None:
    nodes = {node.node_id for node in stack.nodes()}
    stack.down_by_name()
    stack.up()
    assert {node.node_id for node in stack.nodes()} == nodes
    assert verify(stack, *two_runs)["passed"]
    run_id = guest(stack)
    assert wait_for_runs(stack, [run_id], RUN_SECONDS) == {run_id: COMPLETED}
