"""Steps that fail, and a disk that is full: the old state stays, and the run shows the error."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedstate.limits import CONTEXT_BYTES
from fedstate.local.runs import wait_for_runs
from tests.waiting import wait_until

from .conftest import RUN_SECONDS, VALUES, Killable, Run, expected

pytestmark = pytest.mark.allowed_errors(
    r"failed as configured", r"ContextTooLargeError", r"The disk of .* is full"
)

# Four megabytes: more than the store's log has room for when the disk is full.
LARGE = 500_000


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", tmp_path],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root; CI is root")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_full_disk_fails_the_step_and_keeps_the_state(
    killable: Killable, small_disk: Path
) -> None:
    node = killable.federation.nodes[0]
    node.supernode.stop()
    node.supernode.command += ["--state", str(small_disk / "state")]
    killable.start(node)
    try:
        killable.federation.wait_until_connected()
        run, go = killable.submit_pausing(1, values=LARGE)
        killable.wait_for_pause(go)
        filler = small_disk / "filler"
        fill(filler)
        go.touch()
        log = node.supernode.log_file
        # The store's maintenance may meet the full disk first, which is a warning.
        failure = re.compile(r"ERROR .* is full, so the new state")
        wait_until(lambda: failure.search(log.read_text()) is not None, 90, "the failure")
        filler.unlink()
        (error,) = errors_of(killable, run, 1, LARGE)
        assert "is full, so the new state was not stored" in error
    finally:
        node.supernode.stop()
        del node.supernode.command[-2:]
        killable.start(node)
        killable.federation.wait_until_connected()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
