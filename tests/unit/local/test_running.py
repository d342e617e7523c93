"""Commands on a federation that another process runs, or nobody."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedstate.errors import FederationError, SettingError
from fedstate.local import orders, running
from fedstate.local.member import Member, State
from fedstate.local.presence import Presence
from fedstate.local.process import Process


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[Presence, Member]]:
    """A federation of one SuperNode that this process keeps, without looking at it."""
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    process = Process("SuperNode 1", command, dict(os.environ), tmp_path / "node-1" / "log")
    member = Member("supernode-1", process, tmp_path / "ca.crt")
    presence = Presence(tmp_path)
    presence.take()
    member.start()
    presence.write("127.0.0.1:8000", [member])
    yield presence, member
    member.stop()
    presence.release()


def test_a_number_means_a_supernode_and_its_executor() -> None:
    assert running.names_of("2") == ["supernode-2", "executor-2"]
    assert running.names_of("superlink") == ["superlink"]


def test_nothing_that_runs_is_said(tmp_path: Path) -> None:
    with pytest.raises(FederationError, match=f"No federation runs in {tmp_path}"):
        running.read_running(tmp_path)
    with pytest.raises(FederationError, match=f"No federation runs in {tmp_path}"):
        running.restart(tmp_path, "superlink")
    assert running.stop(tmp_path) == 0
    assert list(tmp_path.iterdir()) == [], "nothing is written where nothing runs"


def test_one_that_is_being_started_is_waited_for(tmp_path: Path) -> None:
    presence = Presence(tmp_path)
    presence.take()
    with pytest.raises(FederationError, match="is being started; wait for it"):
        running.read_running(tmp_path)
    presence.release()


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("target", ["superlink", "1", "7", "", "SuperNode 1"])
def test_what_is_not_there_is_not_restarted(tmp_path: Path, target: str) -> None:
    with pytest.raises(SettingError, match=r"There is no '.*or one of: supernode-1\."):
        running.restart(tmp_path, target)
    assert orders.take(tmp_path) == []


@pytest.mark.usefixtures("kept")
def test_one_that_does_not_answer_is_said_and_the_order_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "ANSWER_SECONDS", 0.0)
    with pytest.raises(FederationError, match=f"Process {os.getpid()}, .* is it stopped"):
        running.restart(tmp_path, "supernode-1")
    assert orders.take(tmp_path) == []


def test_one_that_is_killed_meanwhile_is_said(
    tmp_path: Path, kept: tuple[Presence, Member]
) -> None:
    presence, _ = kept
    record, _ = running.read_running(tmp_path)
    content = (tmp_path / "federation.json").read_bytes()
    presence.release()
    (tmp_path / "federation.json").write_bytes(content)
    with pytest.raises(FederationError, match="was killed; 1 of its processes still run"):
        running.restart(tmp_path, "supernode-1")
    assert record.pid == os.getpid()
    assert running.stop(tmp_path) == 1


def test_one_that_comes_to_nothing_is_said_with_its_log(
    tmp_path: Path, kept: tuple[Presence, Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    presence, member = kept

    def given(directory: Path, names: list[str]) -> Path:
        member.state, member.ending = State.ABANDONED, "ended with exit code 1"
        member.restarts += 1
        presence.write("127.0.0.1:8000", [member])
        return directory / "taken"

    monkeypatch.setattr(orders, "give", given)
    with pytest.raises(FederationError, match=r"It ended with exit code 1, .* Its log is .*log"):
        running.restart(tmp_path, "supernode-1")


def test_one_that_was_left_as_it_is_has_not_failed_before_it_is_started(
    tmp_path: Path, kept: tuple[Presence, Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    presence, member = kept
    member.state, member.ending = State.ABANDONED, "ended with exit code 1"
    presence.write("127.0.0.1:8000", [member])

    def waited(done: Callable[[], bool], _: float) -> bool:
        assert orders.take(tmp_path) == ["supernode-1"]
        assert not done(), "the order is taken, and nothing is written down of it yet"
        member.state = State.STARTING
        member.restarts += 1
        presence.write("127.0.0.1:8000", [member])
        assert not done()
        member.state = State.RUNNING
        presence.write("127.0.0.1:8000", [member])
        return done()

    monkeypatch.setattr(running, "wait_until", waited)
    (process,) = running.restart(tmp_path, "supernode-1")
    assert (process.state, process.restarts) == (State.RUNNING, 1)
