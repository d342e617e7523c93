"""The same app in Flower's Simulation Engine: the same state, step by step."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedstate.local.federation import Federation
from fedstate.local.process import Process, free_port
from fedstate.local.runs import submit, wait_for_runs
from tests.stack.conftest import APP, PROGRAMS, command

ROUNDS = 2
RUN_SECONDS = 280.0
CONFIG = f"num-rounds={ROUNDS} seed=5"


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Flower's own local SuperLink, on a port of ours; ``flwr run APP local`` finds it."""
    port = str(free_port())
    environment = {
        "FLWR_HOME": str(tmp_path / "flwr"),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": port,
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FEDSTATE_RUNS": str(tmp_path / "runs"),
        "PATH": f"{PROGRAMS}:/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    command = [
        str(PROGRAMS / "flower-superlink"), "--insecure", "--simulation",
        *("--host", "127.0.0.1", "--port", port, "--isolation", "subprocess"),
        "--disable-runtime-dependency-installation",
    ]  # fmt: skip
    superlink = Process("the simulation", command, environment, tmp_path / "log")
    superlink.start()
    yield environment
    superlink.stop()


def test_state_is_the_same_in_simulation_and_deployment(
    simulation: dict[str, str], tmp_path: Path
) -> None:
    started = command(
        "flwr", "run", APP, "local", "--format", "json", "-c", CONFIG, environment=simulation
    )
    run_id = json.loads(started.stdout)["run-id"]
    with Federation(tmp_path / "federation", nodes=2) as federation:
        deployed = submit(federation, APP, {"num-rounds": ROUNDS, "seed": 5})
        wait_for_runs(federation, [deployed], RUN_SECONDS)
        expected = verified(str(deployed), federation.environment)
    wait_for_simulation(run_id, simulation)
    actual = verified(str(run_id), simulation)
    assert actual["engine"] == "simulation"
    assert steps(actual) == steps(expected)
    assert [len(entries) for entries in steps(actual).values()] == [ROUNDS, ROUNDS]


def steps(report: dict[str, Any]) -> dict[int, list[tuple[int, int, str, str, float]]]:
    """Return what each partition's ledger says, without the names of run, node and message."""
    return {
        node["partition_id"]: [
            tuple(entry[key] for key in ("sequence", "round", "parent", "digest", "loss"))
            for entry in node["entries"]
        ]
        for run in report["runs"]
        for node in run["nodes"]
    }


def wait_for_simulation(run_id: str, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while True:
        listing = command(
            "flwr",
            "list",
            "local",
            "--run-id",
            run_id,
            "--format",
            "json",
            environment=environment,
        )
        status = json.loads(listing.stdout)["runs"][0]["status"]
        if status.startswith("finished"):
            assert status == "finished:completed"
            return
        assert time.monotonic() < deadline, status


def verified(run_id: str, environment: dict[str, str]) -> dict[str, Any]:
    answer = command("fedstate", "verify", run_id, "--format", "json", environment=environment)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    report: dict[str, Any] = json.loads(answer.stdout)
    return report
