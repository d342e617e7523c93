"""Whatever ends a run, its processes end at once, and who takes their place is the next run.

A process sleeps for ten minutes. How long a test waits for its end is several times what the end
may take, and less than what the token of a task, the next poll or the next heartbeat takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fedstate.local.federation import Federation
from fedstate.local.runs import start, wait_for_runs
from fedstate.process_table import living
from tests.open_directory import new_directory
from tests.programs import EXECUTOR, PROGRAMS
from tests.stack.conftest import ROOT, command
from tests.waiting import wait_until

APP = ROOT / "tests" / "apps" / "sleeping"
START_SECONDS = 90.0
# An executor that was not told would notice after 20 s at the earliest.
END_SECONDS = 10.0
ONE_AT_A_TIME = (*EXECUTOR, "--max-concurrent-tasks", "1")
COMPLETED, STOPPED, FAILED = "finished:completed", "finished:stopped", "finished:failed"

# What Flower's servers log of the last request of a process whose token is gone.
pytestmark = pytest.mark.allowed_errors(r"Runtime task-token authentication failed")


@dataclass
class Stopping:
    """A federation of one node, and what is done to its runs."""

    federation: Federation
    directory: Path

    def sleeping(self, who: str, **config: bool) -> tuple[int, int]:
        """Start a run, and wait until one of its processes sleeps; return both."""
        started = self.directory / f"{who}.pid"
        run_id = start(self.federation, APP, {"sleeps": who, "started": str(started), **config})
        wait_until(started.exists, START_SECONDS, "a process that sleeps")
        return run_id, int(started.read_text())

    def stop(self, run_id: int) -> None:
        done = command(
            *("flwr", "stop", str(run_id), self.federation.connection.name),
            environment=self.federation.environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def ended(self, pid: int, seconds: float = END_SECONDS) -> None:
        wait_until(lambda: not living(pid), seconds, f"the end of process {pid}")

    def a_run_gets_through(self) -> None:
        """Check that a run has the one slot that there is, on each side."""
        run_id = start(self.federation, APP)
        assert wait_for_runs(self.federation, [run_id], START_SECONDS) == {run_id: COMPLETED}

    def statuses(self, run_id: int) -> str:
        return wait_for_runs(self.federation, [run_id], START_SECONDS)[run_id]

    @property
    def node_log(self) -> str:
        return self.federation.nodes[0].executor.log_file.read_text()


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    programs = replace(
        PROGRAMS, clientapp_executor=ONE_AT_A_TIME, serverapp_executor=ONE_AT_A_TIME
    )
    with Federation(tmp_path_factory.mktemp("stop"), nodes=1, programs=programs) as running:
        yield running


@pytest.fixture
def stopping(federation: Federation) -> Stopping:
    return Stopping(federation, new_directory())


@pytest.mark.parametrize("deaf", [False, True])
@pytest.mark.parametrize("who", ["client", "server"])
def test_the_process_that_works_for_a_run_ends_when_the_run_is_stopped(
    stopping: Stopping, who: str, deaf: bool
) -> None:
    run_id, pid = stopping.sleeping(who, deaf=deaf)
    stopping.stop(run_id)
    stopping.ended(pid)
    assert stopping.statuses(run_id) == STOPPED
    stopping.a_run_gets_through()


def test_the_log_says_why_and_nothing_is_called_a_failure(stopping: Stopping) -> None:
    before = len(stopping.node_log)
    run_id, pid = stopping.sleeping("client")
    stopping.stop(run_id)
    stopping.ended(pid)
    wait_until(
        lambda: "The run was stopped" in stopping.node_log[before:], END_SECONDS, "the log"
    )
    assert "failed" not in stopping.node_log[before:]
    log = stopping.federation.nodes[0].supernode.log_file.read_text()
    assert f"Run {run_id} has ended" in log


@pytest.mark.allowed_errors(r"failed as configured", r"ServerApp raised an exception")
def test_the_steps_of_a_serverapp_that_fails_end_with_it(stopping: Stopping) -> None:
    run_id, pid = stopping.sleeping("client", crashes=True)
    stopping.ended(pid)
    assert stopping.statuses(run_id) == FAILED
    stopping.a_run_gets_through()


# The node takes up its step before it hears that there is no run any longer.
@pytest.mark.allowed_errors(r"pull-objects\]\[ApiError:2007\] Run is finished")
def test_a_step_whose_run_was_stopped_while_the_supernode_was_away_ends(
    stopping: Stopping,
) -> None:
    """Its executor has lived on, and has a task that the next SuperNode does not know."""
    supernode = stopping.federation.nodes[0].supernode
    run_id, pid = stopping.sleeping("client", deaf=True)
    supernode.kill()
    stopping.stop(run_id)
    assert living(pid)
    supernode.start()
    stopping.ended(pid, START_SECONDS)
    stopping.federation.wait_until_connected()
    stopping.a_run_gets_through()
