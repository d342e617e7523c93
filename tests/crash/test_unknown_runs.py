"""A run that the SuperLink does not know is kept, said, and freed only by name."""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fedstate.store.database import connect
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value
from tests.waiting import wait_until

from .conftest import Killable

pytestmark = pytest.mark.allowed_errors(r"ApiError:2008\].*Run ID not found")

FEDSTATE = Path(sys.executable).parent / "fedstate"
NOBODYS = 4711


def state(command: str, directory: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [FEDSTATE, "state", command, *arguments, "--state", directory, "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def answered(database: Path, run_id: int) -> int:
    with closing(connect(database, write=False)) as connection:
        count = "SELECT count(*) FROM step WHERE status = 'answered' AND run_id = ?"
        return int(connection.execute(count, (str(run_id),)).fetchone()[0])


def test_a_run_that_the_superlink_does_not_know_is_freed_by_name_only(killable: Killable) -> None:
    node = killable.federation.nodes[1]
    (database,) = node.directory.glob("flwr/fedstate/nodes/*/node.db")
    directory = database.parent
    # The other node waits in this round, so that here the run goes on without a step.
    run, go = killable.submit_pausing(2, resend=True)
    killable.wait_for_pause(go)
    wait_until(lambda: answered(database, run.run_id) == 2, 90, "its two replies")
    node.supernode.stop()
    with closing(NodeStore(directory)) as store:
        nobodys = StoredRun(NOBODYS, NOBODYS, "fab", None)
        store.add_run(nobodys, Value(b"record"), Value(b"fab"), Value(b"context"))
        # As if the SuperLink had been away with another database.
        store.note_unknown(run.run_id)
    node.supernode.command += ["--retain", "0s"]
    killable.start(node)
    wait_until(
        lambda: state("check", directory)["unknown_runs"] == [str(NOBODYS)],
        90,
        "the answer of the SuperLink",
    )
    go.touch()
    killable.wait(run)
    # Retention has looked at both: the run that ended is freed, the other is not.
    log = node.supernode.log_file
    wait_until(
        lambda: f"state of run {run.run_id} is freed" in log.read_text(), 90, "the retention"
    )
    assert f"does not know run {NOBODYS}" in log.read_text()
    assert f"knows run {run.run_id} again" in log.read_text()
    assert state("check", directory)["unknown_runs"] == [str(NOBODYS)]

    node.supernode.stop()
    del node.supernode.command[-2:]
    state("free", directory, str(NOBODYS))
    assert state("check", directory)["unknown_runs"] == []
    killable.start(node)
    killable.federation.wait_until_connected()
