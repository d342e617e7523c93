"""SIGKILL to containers of a run that is going on: it comes to what it would have come to."""

import os

import pytest

from fedstate.local.runs import wait_for_runs
from tests.stack.containers.conftest import COMPLETED, RUN_SECONDS
from tests.stack.containers.stack import NODES, Stack
from tests.stack.containers.test_runs import keras, verify
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        not os.environ.get("FEDSTATE_SLOW"), reason="takes minutes: make test-long"
    ),
]

ROUNDS = 5


def wait_for_round(stack: Stack, service: str, run_id: int, server_round: int) -> None:
    line = f"[RUN {run_id}, ROUND {server_round}]"
    wait_until(lambda: line in stack.compose("logs", "--no-color", service).stdout, RUN_SECONDS)


def test_a_run_survives_the_death_of_every_container_that_it_needs(stack: Stack) -> None:
    run_id = keras(stack, seed=5, rounds=ROUNDS)
    wait_for_round(stack, "supernode-1", run_id, 1)
    # A crash, after which the restart policy acts; the engine takes `docker kill` for a stop.
    stack.crash("supernode-1")
    stack.crash("executor-2")
    wait_for_round(stack, "supernode-3", run_id, 2)
    stack.kill_and_start("supernode-3")
    wait_for_round(stack, "supernode-2", run_id, 3)
    stack.crash("superlink")
    stack.wait_until_healthy("superlink")
    assert wait_for_runs(stack, [run_id], RUN_SECONDS) == {run_id: COMPLETED}, stack.logs()

    report = verify(stack, run_id)
    assert report["passed"], report["checks"]
    (run,) = report["runs"]
    assert len(run["nodes"]) == len(NODES)
    for node in run["nodes"]:
        assert [entry["round"] for entry in node["entries"]] == list(range(1, ROUNDS + 1))
    for service in ("supernode-1", "executor-2", "supernode-3"):
        stack.wait_until_healthy(service)
    stack.wait_until_connected()
