"""Steps that fail, and a disk that is full: the old state stays, and the run shows the error."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fedstate.limits import CONTEXT_BYTES
from fedstate.local.runs import wait_for_runs
from tests.small_disk import fill, small_disk
from tests.waiting import wait_until

from .conftest import RUN_SECONDS, VALUES, Killable, Run, expected

pytestmark = pytest.mark.allowed_errors(
    r"failed as configured", r"ContextTooLargeError", r"The disk of .* is full"
)

# More than a megabyte: what is as large is in a file, and not in the store's log.
LARGE = 150_000
FEDSTATE = Path(sys.executable).parent / "fedstate"


def errors_of(killable: Killable, run: Run, fail_round: int, values: int = VALUES) -> list[str]:
    """Wait for a run in which node 0 failed once; check all else and return the errors."""
    statuses = wait_for_runs(killable.federation, [run.run_id], RUN_SECONDS)
    assert statuses == {run.run_id: "finished:completed"}
    outcome = run.outcome()
    errors: list[str] = outcome.pop("errors")
    undisturbed = expected(run.rounds, run.seed, fail_round, values)
    del undisturbed["errors"]
    assert outcome == undisturbed
    return errors


def test_a_step_that_fails_leaves_no_trace(killable: Killable) -> None:
    (error,) = errors_of(killable, killable.submit(fail_round=2), 2)
    assert "failed as configured" in error


def test_a_state_past_the_limit_of_protobuf_fails_the_step_and_stays_as_it_was(
    killable: Killable,
) -> None:
    (error,) = errors_of(killable, killable.submit(oversize_round=2), 2)
    assert f"at most {CONTEXT_BYTES} can be sent" in error
    assert "The state before this step stays." in error


def test_a_full_disk_fails_the_step_and_what_is_freed_lets_the_node_go_on(
    killable: Killable, tmp_path: Path
) -> None:
    """The disk is filled to its last byte during a step; freeing works before there is space."""
    node = killable.federation.nodes[0]
    node.supernode.stop()
    with small_disk(tmp_path / "disk", "size=12m,mode=0711") as disk:
        here = ["--state", str(disk / "state")]
        node.supernode.command += here
        killable.start(node)
        try:
            killable.federation.wait_until_connected()
            finished = killable.submit(values=LARGE)
            killable.wait(finished)
            run, go = killable.submit_pausing(3, values=LARGE)
            killable.wait_for_pause(go)
            filler = disk / "filler"
            fill(filler)
            go.touch()
            log = node.supernode.log_file
            # The store's maintenance may meet the full disk first, which is a warning.
            failure = re.compile(r"ERROR .* is full, so the new state")
            wait_until(lambda: failure.search(log.read_text()) is not None, 90, "the failure")
            (error,) = errors_of(killable, run, 3, LARGE)
            assert "is full, so the new state was not stored" in error
            assert len(failure.findall(log.read_text())) == 1
            freed = fedstate("state", "free", str(finished.run_id), "--format", "json", *here)
            assert json.loads(freed.stdout)["freed_bytes"] > LARGE
            filler.unlink()
            killable.wait(killable.submit(values=LARGE))
            fedstate("state", "check", *here)
        finally:
            node.supernode.stop()
            del node.supernode.command[-2:]
            killable.start(node)
            killable.federation.wait_until_connected()


def fedstate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(FEDSTATE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
