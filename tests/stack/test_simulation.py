"""The same app in Flower's Simulation Engine: the same state, step by step."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedstate.local.federation import Federation
from fedstate.local.runs import start, wait_for_runs
from tests.simulation import Simulation
from tests.stack.conftest import APP, PROGRAMS, command

ROUNDS = 2
RUN_SECONDS = 280.0
CONFIG = f"num-rounds={ROUNDS} seed=5"


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    with Simulation(tmp_path) as running:
        yield running


@pytest.mark.skipif(not os.environ.get("FEDSTATE_SLOW"), reason="takes a minute: make test-long")
def test_state_is_the_same_in_simulation_and_deployment(
    simulation: Simulation, tmp_path: Path
) -> None:
    run_id = simulation.submit(APP, CONFIG)
    with Federation(tmp_path / "federation", nodes=2) as federation:
        deployed = start(federation, APP, {"num-rounds": ROUNDS, "seed": 5})
        wait_for_runs(federation, [deployed], RUN_SECONDS)
        expected = verified(str(deployed), federation.environment, 0)
    simulation.wait(run_id, RUN_SECONDS)
    actual = verified(run_id, simulation.environment, 2)
    assert {each["kind"] for each in actual["findings"]} == {"told-by-the-app-alone"}
    assert {each["verdict"] for each in actual["checks"]} == {"not known"}
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


def verified(run_id: str, environment: dict[str, str], code: int) -> dict[str, Any]:
    # In a process of its own: flwr reads the port of its simulation when it is imported.
    program = PROGRAMS / "fedstate"
    answer = command(program, "verify", run_id, "--format", "json", environment=environment)
    assert answer.returncode == code, answer.stdout + answer.stderr
    report: dict[str, Any] = json.loads(answer.stdout)
    return report
