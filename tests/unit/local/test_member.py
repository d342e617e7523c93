"""How a process is, in a sentence, and what is read of what was written down."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedstate.certificates.authority import ensure_authority
from fedstate.executor.heartbeat import write_heartbeat
from fedstate.local.member import Member, Recorded, State
from fedstate.local.process import Process, free_port


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[Member]:
    """A process that is told of a heartbeat file, as an executor is."""
    code = "import signal; signal.pause()"
    command = [sys.executable, "-c", code, "--heartbeat-file", str(tmp_path / "heartbeat")]
    process = Process("an executor", command, dict(os.environ), tmp_path / "log")
    member = Member("executor-1", process, tmp_path / "ca.crt")
    yield member
    member.stop()


def problem(member: Member) -> str | None:
    return Recorded.from_json(member.as_json()).problem()


def test_an_executor_is_well_when_it_has_worked_lately(executor: Member) -> None:
    assert executor.heartbeat is not None
    now = time.monotonic()
    write_heartbeat(executor.heartbeat, alive=now, worked=now)
    executor.start()
    assert not executor.heartbeat.exists(), "it was another process's"
    assert problem(executor) == "It is starting."
    assert not executor.works()
    write_heartbeat(executor.heartbeat, alive=now, worked=now)
    assert executor.works()
    executor.state = State.RUNNING
    assert problem(executor) is None
    write_heartbeat(executor.heartbeat, alive=now, worked=now - 60)
    assert not executor.works()
    assert str(problem(executor)).startswith("The executor has not worked for 6")
    assert not executor.beyond_help()
    write_heartbeat(executor.heartbeat, alive=now - 60, worked=now - 60)
    assert executor.beyond_help()


def test_one_that_has_ended_is_not_well(executor: Member) -> None:
    executor.state = State.RUNNING
    assert problem(executor) == "It is not started yet."
    executor.start()
    executor.state = State.RUNNING
    executor.process.kill()
    assert problem(executor) == "It has ended."


def test_what_is_done_with_one_that_ended_is_said(executor: Member) -> None:
    executor.ending = "ended with exit code 3"
    executor.state = State.WAITING
    assert problem(executor) == "It ended with exit code 3, and is started again."
    executor.state = State.ABANDONED
    assert str(problem(executor)).endswith("`fedstate local restart executor-1` starts it.")


def test_one_that_serves_is_asked(tmp_path: Path) -> None:
    ensure_authority(tmp_path)
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    process = Process("the SuperLink", command, dict(os.environ), tmp_path / "log")
    member = Member("superlink", process, tmp_path / "ca.crt", port=free_port())
    member.start()
    member.state = State.RUNNING
    assert not member.works()
    assert "nothing listens there" in str(problem(member))
    member.stop()
