"""The rooms of an executor: where they are, what is left of others, what is required."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.executor.conftest import order, settings
from tests.waiting import wait_until

from fedstate.errors import SettingError
from fedstate.executor import rooms
from fedstate.executor.output import pipe_of
from fedstate.executor.room_settings import NONE, REQUIRE, RoomSettings
from fedstate.executor.rooms import Rooms
from fedstate.flower.task_order import TaskKind
from fedstate.walls import Offered

ADDRESS = "127.0.0.1:1"


@contextmanager
def made(given: RoomSettings, certificates: str | None = None) -> Iterator[Rooms]:
    those = Rooms(given, ADDRESS, certificates)
    try:
        yield those
    finally:
        those.close_all()


def test_a_directory_serves_one_executor_at_a_time(directory: Path) -> None:
    given = settings(directory, walls=NONE)
    with made(given) as first:
        assert first.directory == (directory / "rooms").resolve()
        assert first.directory.stat().st_mode & 0o777 == 0o711
        # Whoever opens it, such as an app, could hold the lock when an executor starts again.
        assert (first.directory / ".lock").stat().st_mode & 0o777 == 0o600
        with pytest.raises(SettingError, match=r"--rooms is .*, which another executor uses"):
            Rooms(given, ADDRESS)
    with made(given):
        pass


def test_executors_that_were_told_nothing_have_directories_of_their_own() -> None:
    with made(RoomSettings(walls=NONE)) as first, made(RoomSettings(walls=NONE)) as second:
        assert first.directory != second.directory
    assert not first.directory.exists()


def test_a_link_in_the_place_of_the_directory_is_refused(directory: Path) -> None:
    (directory / "rooms").symlink_to(directory)
    with pytest.raises(SettingError, match="which is not a directory of this user"):
        Rooms(settings(directory, walls=NONE), ADDRESS)


@pytest.mark.usefixtures("walls")
def test_what_an_executor_left_that_was_killed_is_cleared_away(directory: Path) -> None:
    given = settings(directory)
    with made(given) as those:
        left = those.room_for(order(""), None)
        user = left.user
        (left.plan.directory / "file").touch()
        if user is not None:
            os.chown(left.plan.directory / "file", user, user)
        those._lock.close()  # as when it is killed
        command = [sys.executable, "-c", "import signal; signal.pause()"]
        if user is not None:
            command = ["sleep", "1000"]
        options = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        with subprocess.Popen(command, **options) as program:  # type: ignore[call-overload]
            with made(given) as others:
                assert others.run_ids() == []
                assert not left.plan.directory.exists()
                assert wait_until(others._deletions.poll)
            names = [each.name for each in others.directory.iterdir()]
            assert names == [".lock"]
            if user is None:
                program.kill()  # nothing says whose it is
            assert program.wait(60) == -9
        those._lock = (directory / "rooms" / ".lock").open("w")


def test_all_walls_may_be_required(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings(directory, walls=REQUIRE)
    monkeypatch.setattr(rooms, "offered", lambda _: Offered(0, "this is a test"))
    with pytest.raises(SettingError, match=r"--walls is 'require', and not all .* is a test"):
        Rooms(given, ADDRESS)


def test_what_is_not_enforced_is_said_in_one_line(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rooms, "offered", lambda _: Offered(0, "this is a test"))
    with made(settings(directory)):
        (record,) = caplog.records
        assert "Not everything keeps runs apart here." in record.getMessage()


def test_the_records_of_a_run_are_its_own_and_outlive_the_room(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDSTATE_RUNS", str(directory / "runs"))
    with made(settings(directory)) as those:
        room = those.room_for(order("", kind=TaskKind.SERVER_APP), None)
        place = directory / "runs" / "1"
        assert room.plan.work == place.resolve()
        status = place.stat()
        assert status.st_mode & 0o7777 == 0o2750
        assert status.st_gid == os.getegid()
        assert status.st_uid == (os.geteuid() if room.user is None else room.user)
        assert (
            those.room_for(order("", kind=TaskKind.CLIENT_APP, run_id=2), None).plan.work != place
        )
    assert place.is_dir()


def test_the_certificate_is_copied_and_its_place_is_not_for_runs(directory: Path) -> None:
    (directory / "ca.crt").write_text("PEM")
    with made(settings(directory), str(directory / "ca.crt")) as those:
        plan = those.room_for(order(""), None).plan
        assert plan.certificate == "PEM"
        if plan.walls is not None:
            assert those.directory in plan.walls.closed


@pytest.mark.usefixtures("walls")
def test_runs_have_users_and_directories_of_their_own(directory: Path) -> None:
    with made(settings(directory)) as those:
        one, two = (those.room_for(order("", run_id=each), None) for each in (1, 2))
        assert those.room_for(order("", 9), None) is one
        assert one.plan.directory != two.plan.directory
        for room in (one, two):
            status = room.plan.directory.stat()
            assert status.st_mode & 0o777 == 0o700
            assert status.st_uid == (os.geteuid() if room.user is None else room.user)
            pipe = pipe_of(room.plan.directory).stat()
            assert pipe.st_mode & 0o007 == 0
            assert room.user is None or (pipe.st_uid, pipe.st_gid) == (os.geteuid(), room.user)
        assert one.user is None or one.user != two.user
