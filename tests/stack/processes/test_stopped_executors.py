"""Executors that are stopped by SIGSTOP, and what starts them again."""

import os
import signal
from pathlib import Path

import pytest

from fedstate.errors import FederationError
from fedstate.executor.heartbeat import check_executor
from fedstate.local.federation import Federation
from fedstate.local.runs import start, wait_for_runs
from fedstate.local.supervisor import Supervisor
from tests.stack.conftest import ROOT
from tests.stack.executor.conftest import children_of
from tests.waiting import wait_until

GUEST = ROOT / "tests" / "apps" / "guest"
# In which a stopped executor has to be known as unwell, and in which it is well again.
KNOWN_SECONDS, AGAIN_SECONDS = 30.0, 90.0


def works(directory: Path) -> bool:
    try:
        check_executor(directory / "executor" / "heartbeat")
    except FederationError:
        return False
    return True


@pytest.mark.allowed_errors(r"Task \d+ failed")
def test_a_stopped_executor_is_unwell_and_works_again(federation: Federation) -> None:
    """Of one node only the executor is stopped; of another its parent, which would help, too."""
    alone, whole, _ = federation.nodes
    wait_until(lambda: works(alone.directory) and works(whole.directory), AGAIN_SECONDS)
    parent = alone.executor.pid
    (stopped,) = children_of(parent)
    os.kill(stopped, signal.SIGSTOP)
    os.killpg(whole.executor.pid, signal.SIGSTOP)
    before = whole.executor.pid
    wait_until(lambda: not works(alone.directory), KNOWN_SECONDS)
    wait_until(lambda: not works(whole.directory), KNOWN_SECONDS)
    said: list[str] = []
    supervisor = Supervisor(federation, said.append)

    def noticed() -> bool:
        supervisor.look()
        return any("did not answer and was ended" in each for each in said)

    wait_until(noticed, KNOWN_SECONDS)
    assert said[0].startswith(f"{whole.executor.name} did not answer")
    supervisor.look()
    wait_until(lambda: works(alone.directory) and works(whole.directory), AGAIN_SECONDS)
    assert alone.executor.pid == parent
    assert stopped not in children_of(parent)
    assert whole.executor.pid != before
    supervisor.look()
    assert len(said) == 2, said
    run_id = start(federation, GUEST, {"num-rounds": 1, "num-nodes": 3})
    assert wait_for_runs(federation, [run_id], 120) == {run_id: "finished:completed"}
