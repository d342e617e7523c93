"""The commands that look into a node's state, as an operator uses them."""

import json
from contextlib import closing
from pathlib import Path

from tests.commands import fedstate
from tests.unit.store.logged import add_run, commit, fail

from fedstate.store.node_store import NodeStore


def test_the_steps_of_a_node_are_listed(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    with closing(NodeStore(directory)) as store:
        for run_id in (2, 3):
            add_run(store, run_id)
            commit(store, run_id, 1)
            fail(store, run_id, 2, "This node does not allow the app.")
        # While its SuperNode runs.
        done = fedstate("state", "log", "--state", directory, "--format", "json")
    rows = json.loads(done.stdout)
    assert [(row["run"], row["round"], row["outcome"]) for row in rows] == [
        ("2", "1", "committed"),
        ("2", "2", "failed"),
        ("3", "1", "committed"),
        ("3", "2", "failed"),
    ]
    some = fedstate("state", "log", "3", "--state", directory, "--failed", "--format", "json")
    (row,) = json.loads(some.stdout)
    assert (row["run"], row["reason"]) == ("3", "This node does not allow the app.")
    assert fedstate("state", "log", "--state", directory).stdout.count("committed") == 2
    assert fedstate("state", "log", "--state", directory / "none").exit_code == 1
