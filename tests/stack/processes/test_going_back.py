"""A run is rolled back by a node's operator, and another one begins with its state."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedstate.flower.stored_values import decode_context
from fedstate.local.federation import START_SECONDS, Federation
from fedstate.local.runs import start, wait_for_runs
from fedstate.store.read_only import read_only
from tests.stack.conftest import ROOT, command

STRANGERS = ROOT / "tests" / "apps" / "strangers"
RUN_SECONDS = 200.0
REFUSED = "no run of this node may begin with another run's state"

pytestmark = [
    pytest.mark.timeout(2 * RUN_SECONDS),
    pytest.mark.allowed_errors(REFUSED, r"Error\(code=\d+, reason="),
]


@dataclass(frozen=True)
class Runs:
    """A run that was rolled back to its first step, and one that has begun with its state."""

    first: int
    second: int
    stores: list[Path]


@pytest.fixture(scope="module")
def runs(federation: Federation) -> Iterator[Runs]:
    node = federation.nodes[0]
    stores = [
        next(each.directory.glob("flwr/fedstate/nodes/*/node.db")).parent
        for each in federation.nodes
    ]
    stays = list(node.supernode.command)

    def restart() -> None:
        node.supernode.stop()
        node.supernode.start()
        node.supernode.wait_until_healthy(node.port, federation.root_certificates, START_SECONDS)
        federation.wait_until_connected()

    node.supernode.command += ["--keep", "6", "--from-run", "same-app"]
    restart()
    first = start(federation, STRANGERS, {"rounds": 3})
    assert set(wait_for_runs(federation, [first], RUN_SECONDS).values()) == {"finished:completed"}
    roll_back = ("fedstate", "state", "rollback", str(first), "--to", "1", "--state", stores[0])
    # The SuperNode runs, and is told.
    done = command(*map(str, roll_back), environment=federation.environment)
    assert done.returncode == 0, done.stderr
    second = start(federation, STRANGERS, {"rounds": 2, "from-run": str(first)})
    assert set(wait_for_runs(federation, [second], RUN_SECONDS).values()) == {
        "finished:completed"
    }
    yield Runs(first, second, stores)
    node.supernode.command[:] = stays
    restart()


def steps_in(store: Path, run_id: int) -> list[Any]:
    """Return what the app has counted, in each of the states that the node has of a run."""
    with read_only(store) as opened:
        kept = [opened.kept_context(run_id, each.number) for each in opened.kept_states(run_id)]
    states = [decode_context(value).context.state for _, value in kept]
    return [state.metric_records["counter"]["steps"] for state in states if state]


def test_the_app_goes_on_from_there(runs: Runs) -> None:
    assert steps_in(runs.stores[0], runs.first) == [1, 2, 3, 1]
    assert steps_in(runs.stores[0], runs.second) == [1, 2, 3]
    # The other nodes keep one state, and their operators allow nothing of the kind.
    assert steps_in(runs.stores[1], runs.first) == [3]
    assert steps_in(runs.stores[1], runs.second) == []
    with read_only(runs.stores[1]) as store:
        reasons = {row.record.reason for row in store.rows_after(0, [runs.second], 100)}
    assert [REFUSED in reason for reason in reasons] == [True]


def test_the_verdict_says_what_was_done(federation: Federation, runs: Runs) -> None:
    answer = command(
        *("fedstate", "verify", str(runs.first), str(runs.second), "--format", "json"),
        environment=federation.environment,
    )
    report = json.loads(answer.stdout)
    texts = [each["text"] for each in report["findings"]]
    assert answer.returncode == 0, texts
    assert any("rolled back by the node's operator to step 1" in text for text in texts)
    began = f"began from run {runs.first}'s state at step 4, as asked"
    assert any(began in text for text in texts)
    # Each store alone says so, too.
    alone = command(
        *("fedstate", "verify", "--state", str(runs.stores[0]), "--format", "json"),
        environment=federation.environment,
    )
    texts = [each["text"] for each in json.loads(alone.stdout)["findings"]]
    assert any("rolled back by the node's operator to step 1" in text for text in texts)
    assert any(began in text for text in texts)
