"""The same disturbance with flower-supernode in the place of ours: proof that the tests bite."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedstate.local.federation import Federation
from fedstate.local.programs import STOCK
from fedstate.local.runs import wait_for_runs
from fedstate.store.database import connect
from tests.programs import PROGRAMS
from tests.waiting import wait_until

from .conftest import RUN_SECONDS, Killable, expected


def outcome_of_a_restart_while_training(
    directory: Path,
    supernode: Sequence[str],
    while_away: Callable[[Federation], None] = lambda _: None,
) -> Any:
    programs = replace(PROGRAMS, supernode=supernode)
    with Federation(directory, nodes=2, programs=programs) as federation:
        killable = Killable(federation)
        run, go = killable.submit_pausing(3, rounds=4, resend=True)
        killable.wait_for_pause(go)
        # In good order, not killed: flower-supernode would not be admitted again for a minute.
        federation.nodes[0].supernode.stop()
        while_away(federation)
        federation.nodes[0].supernode.start()
        go.touch()
        statuses = wait_for_runs(federation, [run.run_id], RUN_SECONDS)
        assert statuses == {run.run_id: "finished:completed"}
        return run.outcome(), expected(run.rounds, run.seed)


def wait_until_it_is_missed(federation: Federation) -> None:
    """Wait until the ServerApp has seen that a node is away, and will send its step again.

    Back sooner, flower-supernode leaves it waiting for ever for the step that it has lost.
    """
    database = federation.directory / "superlink" / "superlink.db"
    with closing(connect(database, write=False)) as connection:
        said = "SELECT count(*) FROM task_logs WHERE log LIKE '%Waiting for nodes%'"
        wait_until(lambda: connection.execute(said).fetchone()[0] > 0, 90, "the node's absence")


@pytest.mark.skipif(not os.environ.get("FEDSTATE_SLOW"), reason="takes a minute: make test-long")
def test_flower_supernode_forgets_and_reports_success(tmp_path: Path) -> None:
    outcome, undisturbed = outcome_of_a_restart_while_training(
        tmp_path, ["flower-supernode"], wait_until_it_is_missed
    )
    assert outcome["values"] != undisturbed["values"]
    assert min(len(history) for history in outcome["histories"]) < 3


def test_fedstate_supernode_remembers(tmp_path: Path) -> None:
    outcome, undisturbed = outcome_of_a_restart_while_training(
        tmp_path, ["fedstate", "supernode"]
    )
    assert outcome == undisturbed


@pytest.mark.allowed_errors(
    r"failed as configured", r"ClientApp raised an exception", r"Exit Code: 800"
)
@pytest.mark.skipif(not os.environ.get("FEDSTATE_SLOW"), reason="takes minutes: make test-long")
@pytest.mark.parametrize(
    ("disturbance", "fail_round"), [({"fail_round": 2}, 2), ({"ballast": 300}, 0)]
)
def test_flower_keeps_half_made_state_and_loses_large_state(
    tmp_path: Path, disturbance: dict[str, int], fail_round: int
) -> None:
    """What `test_failures` and `test_large_state` ask of ours, of Flower's own programs alone."""
    with Federation(tmp_path, nodes=2, programs=STOCK) as federation:
        killable = Killable(federation)
        run = killable.submit(**disturbance)
        statuses = wait_for_runs(federation, [run.run_id], RUN_SECONDS)
        assert statuses == {run.run_id: "finished:completed"}
        outcome, undisturbed = run.outcome(), expected(run.rounds, run.seed, fail_round)
    assert outcome["histories"] != undisturbed["histories"]
