"""What ends is started again, with real processes and a clock of the test's."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedstate.local import orders
from fedstate.local.member import Member, State
from fedstate.local.patience import MOST
from fedstate.local.process import Process
from fedstate.local.supervisor import Supervisor
from tests.waiting import wait_until

_STAYS = "print('here', flush=True); import signal; signal.pause()"


class Few:
    """Two programs that are watched over as a federation."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.members = [
            self._member("supernode-1", "SuperNode 1"),
            self._member("serverapp-executor", "the ServerApp's executor"),
        ]
        self.notes = 0
        self.full = False
        self.now = 0.0
        self.said: list[str] = []
        self.bounded = 0
        self.supervisor = Supervisor(self, self.said.append, lambda: self.now)

    def bound_logs(self) -> None:
        self.bounded += 1

    def _member(self, name: str, title: str) -> Member:
        command = [sys.executable, "-c", _STAYS]
        log = self.directory / name / "log"
        return Member(name, Process(title, command, dict(os.environ), log), Path("ca.crt"))

    def note(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.notes += 1

    def kill(self, member: Member) -> None:
        os.kill(member.process.pid, signal.SIGKILL)
        wait_until(lambda: not member.process.running)


@pytest.fixture
def few(tmp_path: Path) -> Iterator[Few]:
    watched = Few(tmp_path)
    for member in watched.members:
        member.start()
        wait_until(member.process.log_file.read_text)
    watched.supervisor.look()
    assert {member.state for member in watched.members} == {State.RUNNING}
    yield watched
    for member in watched.members:
        member.stop()


def test_one_that_is_killed_is_back_at_once_and_its_log_is_shown(few: Few) -> None:
    node, executor = few.members
    others = executor.process.pid
    before = node.process.pid
    few.kill(node)
    few.supervisor.look()
    (sentence,) = few.said
    assert sentence.startswith("SuperNode 1 was ended by SIGKILL")
    assert "and is started again. Its steps are on disk" in sentence
    assert sentence.endswith("log ends with:\n  here")
    few.supervisor.look()
    assert node.process.running
    assert node.process.pid != before
    few.supervisor.look()
    assert few.said[1:] == [f"SuperNode 1 is back, as process {node.process.pid}."]
    assert (node.restarts, executor.restarts, executor.process.pid) == (1, 0, others)


def test_one_that_ends_too_often_is_left_until_somebody_asks(few: Few) -> None:
    executor = few.members[1]
    for count in range(1, MOST):
        few.kill(executor)
        few.supervisor.look()
        assert executor.state is State.WAITING
        pause = 0.0 if count == 1 else 2.0 ** (count - 2)
        if pause:
            few.now += 0.9 * pause
            few.supervisor.look()
            assert executor.state is State.WAITING, "it is too soon"
        few.now += pause
        few.supervisor.look()
        assert executor.process.running
    few.kill(executor)
    few.supervisor.look()
    few.now += 60
    few.supervisor.look()
    assert executor.state is State.ABANDONED
    assert not executor.process.running
    assert "for the 5th time within 5 minutes, and is left as it is" in few.said[-1]
    assert "`fedstate local restart serverapp-executor` starts it" in few.said[-1]
    orders.give(few.directory, ["serverapp-executor"])
    few.supervisor.look()
    assert executor.process.running
    few.supervisor.look()
    assert executor.state is State.RUNNING
    few.kill(executor)
    few.supervisor.look()
    few.supervisor.look()
    assert executor.process.running, "it is counted from the beginning"


def test_what_is_asked_for_is_stopped_and_started(few: Few) -> None:
    before = [member.process.pid for member in few.members]
    orders.give(few.directory, ["supernode-1", "nobody"])
    few.supervisor.look()
    after = [member.process.pid for member in few.members]
    assert before[0] != after[0]
    assert before[1] == after[1]
    few.supervisor.look()
    assert few.said == [
        "Asked to start SuperNode 1 again.",
        f"SuperNode 1 is back, as process {after[0]}.",
    ]


def test_one_that_cannot_be_started_is_tried_again(few: Few) -> None:
    node = few.members[0]
    log, away = node.process.log_file.parent, few.directory / "away"
    few.kill(node)
    log.rename(away)
    log.write_text("a file in the place of the directory")
    few.supervisor.look()
    assert "cannot be read (Not a directory)" in few.said[0]
    few.supervisor.look()
    assert few.said[1].startswith("SuperNode 1 cannot be started (")
    log.unlink()
    away.rename(log)
    few.now += 1.0
    few.supervisor.look()
    assert node.process.running


def test_a_full_disk_stops_nothing_and_is_said_once(few: Few) -> None:
    few.full = True
    for member in few.members:
        few.kill(member)
    few.supervisor.look()
    few.supervisor.look()
    assert all(member.process.running for member in few.members)
    unwritten = [each for each in few.said if "cannot be written down" in each]
    (sentence,) = unwritten
    assert sentence.endswith(f"No space left on device in {few.directory}.")
