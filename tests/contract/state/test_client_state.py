"""Client state keeps its promises on a stock SuperNode, on fedstate's, and in simulation."""

import importlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedstate.local.federation import Federation
from fedstate.local.programs import STOCK
from fedstate.local.runs import start, wait_for_runs
from tests.open_directory import new_directory
from tests.programs import PROGRAMS
from tests.simulation import Simulation
from tests.unit.state.steps import make_context, make_message

pytestmark = pytest.mark.allowed_errors(
    *(r"spoiled", r"ClientApp raised an exception", r"Exit Code: 800"),
    # To Flower's own SuperNode it is an error if an executor is stopped while it asks for a task.
    r"\[/v1/runtime/acquire-task\]\[UnexpectedError:ClientDisconnect\]",
)

APP = Path(__file__).parents[2] / "apps" / "remembering"
RUN_SECONDS = 250.0
Steps = list[list[dict[str, Any]]]


SLOW = pytest.mark.skipif(
    not os.environ.get("FEDSTATE_SLOW"), reason="takes a minute: make test-long"
)
DEPLOYMENTS = {
    "stock": STOCK,
    "stock SuperNodes": replace(PROGRAMS, supernode=STOCK.supernode),
    "fedstate": PROGRAMS,
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("stock", marks=SLOW),
        *("stock SuperNodes", "fedstate", "simulation"),
    ],
)
def steps(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Steps:
    """What every step came to: a list of steps, each a list of the nodes' replies."""
    directory = tmp_path_factory.mktemp(request.param)
    result = new_directory() / "result.json"
    if request.param == "simulation":
        with Simulation(directory) as simulation:
            simulation.wait(simulation.submit(APP, f'result="{result}"'), RUN_SECONDS)
    else:
        programs = DEPLOYMENTS[request.param]
        with Federation(directory, nodes=2, programs=programs) as federation:
            run = start(federation, APP, {"result": str(result)})
            statuses = wait_for_runs(federation, [run], RUN_SECONDS)
            assert statuses == {run: "finished:completed"}, federation.nodes[0].executor.log_end()
    steps: Steps = json.loads(result.read_text())
    assert [len(replies) for replies in steps] == [2] * 6
    return steps


def test_a_failed_step_leaves_the_stored_state_byte_identical(steps: Steps) -> None:
    trained, spoiled, refused, evaluated, *_ = steps
    for node in range(2):
        assert "spoiled" in spoiled[node]["error"]
        assert "refused" in refused[node]["error"]
        assert evaluated[node]["bytes"]["before"] == trained[node]["bytes"]["after"]


def test_a_step_that_only_reads_leaves_it_so_too(steps: Steps) -> None:
    for replies in (steps[3], steps[5]):
        for reply in replies:
            assert reply["bytes"]["before"] == reply["bytes"]["after"]
            assert "fedstate.commit" not in reply


def test_every_value_comes_back(steps: Steps) -> None:
    for server_round, replies in ((1, steps[3]), (2, steps[5])):
        for reply in replies:
            assert reply["seen"] == {"rounds": server_round, "wrong": []}


def test_the_ledger_holds_what_the_server_was_told(steps: Steps) -> None:
    for node in range(2):
        told = [steps[0][node]["fedstate.commit"], steps[4][node]["fedstate.commit"]]
        held = steps[5][node]["held"]
        assert json.loads(held["entries"]) == told
        assert held["digest"] == told[1]["digest"]
        assert [entry["sequence"] for entry in told] == [1, 2]
        assert [entry["round"] for entry in told] == [1, 2]
        assert [entry["parent"] for entry in told] == ["", told[0]["digest"]]
        assert {entry["run_id"] for entry in told} == {held["run_id"]}
        assert {entry["node_id"] for entry in told} == {held["node_id"]}
        assert len({entry["message_id"] for entry in told}) == 2


def test_equal_content_has_equal_digests_on_every_node(steps: Steps) -> None:
    one, other = steps[5]
    assert one["held"]["digest"] == other["held"]["digest"]
    assert one["held"]["node_id"] != other["held"]["node_id"]


def test_digests_do_not_depend_on_the_engine(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same steps taken in this very process come to the same state."""
    monkeypatch.syspath_prepend(str(APP))
    app = importlib.import_module("remembering.client_app").app
    context = make_context()
    for server_round in (1, 2):
        reply = app(make_message(server_round), context)
    assert steps[5][0]["held"]["digest"] == reply.content["fedstate.commit"]["digest"]
