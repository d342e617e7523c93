"""SIGKILL to every part of a node that trains with Keras: not a bit of what it learns changes."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedstate.local.federation import Federation
from fedstate.local.runs import wait_for_runs
from tests.programs import PROGRAMS

from .conftest import Killable, Run

APP = Path(__file__).parents[1] / "apps" / "learning"
ROUNDS = 4
SEEDS = (1, 2)
SECONDS = 400.0


@pytest.fixture(scope="module")
def killable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killable]:
    # Its executors start with TensorFlow loaded, as they do by default.
    programs = replace(PROGRAMS, clientapp_executor=("fedstate", "executor"))
    directory = tmp_path_factory.mktemp("keras")
    with Federation(directory, nodes=2, programs=programs) as federation:
        yield Killable(federation, APP)


def results(killable: Killable, runs: list[Run]) -> list[Any]:
    statuses = wait_for_runs(killable.federation, [run.run_id for run in runs], SECONDS)
    assert set(statuses.values()) == {"finished:completed"}
    return [json.loads(run.result.read_text()) for run in runs]


@pytest.mark.skipif(not os.environ.get("FEDSTATE_SLOW"), reason="takes minutes: make test-long")
@pytest.mark.timeout(4 * SECONDS)
def test_keras_learns_the_same_whatever_is_killed(killable: Killable) -> None:
    undisturbed = results(killable, [killable.submit(rounds=ROUNDS, seed=seed) for seed in SEEDS])
    for result in undisturbed:
        assert [len(history) for history in result["histories"]] == [ROUNDS] * 2
    assert undisturbed[0] != undisturbed[1]

    node = killable.federation.nodes[0]
    node.supernode.stop()
    killable.start(node, "commit-started=kill")
    killable.federation.wait_until_connected()
    paused = [killable.submit_pausing(3, rounds=ROUNDS, seed=seed) for seed in SEEDS]
    killable.wait_for_kill(node)
    killable.start(node, "step-committed=kill")
    killable.wait_for_kill(node)
    killable.start(node)

    # In the middle of training: one ClientApp, then the executor with the other one, then all.
    (_, first), (_, second) = paused
    process_id = killable.wait_for_pause(first)
    killable.wait_for_pause(second)
    first.touch()
    os.kill(process_id, signal.SIGKILL)
    second.with_suffix(".reached").unlink()
    node.executor.kill()
    node.executor.start()
    killable.wait_for_pause(second)
    node.supernode.kill()
    node.executor.kill()
    second.touch()
    node.supernode.start()
    node.executor.start()
    assert results(killable, [run for run, _ in paused]) == undisturbed
