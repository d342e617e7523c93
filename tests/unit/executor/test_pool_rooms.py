"""Tasks in the rooms of their runs, and what hostile ones of them can do: nothing to others."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.unit.executor.conftest import FAB, Clock, Reports, order, settings, settle
from tests.unit.executor.test_pool import MakePool, begun, run_to_the_end

from fedstate.certificates.authority import make_authority
from fedstate.executor.pool import Limits, TaskPool
from fedstate.executor.room_settings import RoomSettings
from fedstate.flower.task_order import TaskKind
from fedstate.process_table import living
from fedstate.walls.processes import all_processes

pytestmark = pytest.mark.usefixtures("walls")


def facts(file: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(file.read_text())
    return told


def raw(data: bytes) -> str:
    return f"raw:{base64.b64encode(data).decode()}"


def test_a_task_is_a_fork_of_its_runs_room_in_the_runs_own_places(
    pool: TaskPool, directory: Path
) -> None:
    for number in (1, 2):
        pool.launch(order(f"started tell:{directory}/{number} finished", number))
        run_to_the_end(pool)
    pool.launch(order(f"started tell:{directory}/3 finished", 3, run_id=2))
    run_to_the_end(pool)
    first, second, other = (facts(directory / name) for name in "123")
    assert first["parent"] == second["parent"] != other["parent"]
    assert first["pid"] != second["pid"]
    assert pool.rooms is not None
    assert pool.run_ids() == [1, 2]
    place = pool.rooms.directory / "1"
    assert first["directory"] == str(place / "work")
    assert first["temporary"] == str(place / "tmp")
    assert first["environment"]["HOME"] == str(place / "home")
    assert first["environment"]["FLWR_HOME"] == str(place / "flwr" / FAB)
    assert (first["user"] == other["user"]) is not pool.rooms.offered.users


def test_rooms_and_tasks_are_somebody_of_their_own_and_can_be_nobody_else(
    pool: TaskPool,
) -> None:
    for number in (1, 2):
        pool.launch(order("started pulled wait finished", number, run_id=number))
        begun(pool)
    assert pool.rooms is not None
    users = []
    for task in pool._tasks:
        assert task.room is not None
        user = os.geteuid() if task.room.user is None else task.room.user
        users.append(user)
        for pid in (task.room.pid, task.pid):
            status = Path(f"/proc/{pid}/status").read_text().splitlines()
            said = dict(line.split(":\t", 1) for line in status if ":\t" in line)
            assert said["Uid"].split() == [str(user)] * 4
            for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                assert int(said[name], 16) == 0, name
            # Nothing that it executes brings anything back.
            assert said["NoNewPrivs"] == "1"
            if task.room.user is not None:
                assert said["Gid"].split() == [str(user)] * 4
                assert said["Groups"].split() == []
        task.channel.send({"stop": "enough"})
    assert (len({*users}) == 2) == pool.rooms.offered.users
    run_to_the_end(pool)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (raw(b"no JSON\n"), "no JSON"),
        (raw(b"[" * 100_000 + b"\n"), "no JSON (RecursionError)"),
        (raw(b"\xff\xfe\n"), "no JSON"),
        (raw(b"1" * 10_000 + b"\n"), "no JSON (ValueError)"),
        (raw(b"[]\n"), "a list in place of"),
        (raw(b"{}\n"), "an event of a form"),
        (raw(b'{"event": []}\n'), "an event that is out of turn"),
        (raw(b'{"event": "pulled", "message": 3}\n'), "a message that is no text"),
        (raw(b'{"event": "pulled", "message": "=?"}\n'), "not in base 64"),
        ("started", "out of turn"),
        ("pulled pulled", "out of turn"),
        ("endless", "a line of more than"),
        ("flood", "out of turn"),
        (raw(b'{"event": "unforked", "errno": 11}\n'), "out of turn"),
    ],
)
def test_a_process_that_sends_what_it_must_not_is_ended_and_no_other(
    pool: TaskPool, reports: Reports, words: str, said: str
) -> None:
    pool.launch(order("started pulled wait replied finished", 1))
    begun(pool)
    pool.launch(order(f"started {words} deaf", 2, run_id=2))
    settle(pool, lambda: pool.task_ids() == [1])
    ((task_id, reason),) = reports
    assert task_id == 2
    assert said in reason
    assert "and was ended." in reason


def test_a_process_of_another_run_is_not_signalled_for_a_task(
    pool: TaskPool, reports: Reports, clock: Clock
) -> None:
    pool.launch(order("started pulled wait replied finished", 1))
    begun(pool)
    victim = pool._tasks[0].pid
    assert victim is not None
    for number, pid in enumerate((victim, os.getpid(), 1, 2**22 + 5, -1, 2**70), start=2):
        pool.launch(order(f"started-as:{pid} deaf", number, run_id=number))
        settle(pool, lambda: pool.task_ids() == [1])
        assert "which is none of its run's" in reports[-1][1] or "form" in reports[-1][1]
    assert living(victim) is not None
    assert len(reports) == 6


def test_no_task_is_a_fork_of_a_room_that_turns_out_to_have_a_thread(
    pool: TaskPool, directory: Path, reports: Reports
) -> None:
    module = f"{__package__}.starts_a_thread"
    report = {"event": "imported", "modules": [[module, 1.0]]}
    said = raw(json.dumps(report).encode() + b"\n")
    pool.launch(order(f"started {said} pulled wait finished", 1))
    begun(pool)
    assert pool.rooms is not None
    room = pool.rooms.all[1]
    settle(pool, lambda: bool(room.client and (room.client.importing or not room.client.fit)))
    pool.launch(order(f"started tell:{directory}/2 finished", 2))
    settle(pool, lambda: bool(room.client and not room.client.fit))
    pool._tasks[0].channel.send({"stop": "enough"})
    run_to_the_end(pool)
    assert module not in facts(directory / "2")["modules"]
    assert reports == []


@pytest.mark.parametrize("word", ["kill-parent", "stop-parent"])
def test_a_task_that_takes_its_room_away_loses_its_own_step_alone(
    pool: TaskPool, reports: Reports, clock: Clock, word: str
) -> None:
    pool.launch(order("started pulled wait replied finished", 1, run_id=2))
    begun(pool)
    rest = "deaf" if "kill" in word else "finished"
    pool.launch(order(f"started {word} {rest}", 2))

    def done() -> bool:
        clock.now += 1
        return pool.task_ids() == [1]

    settle(pool, done)
    pool.launch(order("started pulled replied finished", 3))
    settle(pool, done)
    assert [task_id for task_id, _ in reports] == ([2] if "kill" in word else [])


def limited(directory: Path, **limits: int) -> RoomSettings:
    return settings(directory, limits=limits)


@pytest.mark.parametrize(
    ("limits", "words", "option"),
    [
        ({"memory": 100_000_000}, "memory:300000000", "--max-memory"),
        ({"files": 10_000_000}, "files:40000000", "--max-files"),
        ({"processes": 40}, "bomb:6", "--max-processes"),
    ],
)
def test_a_run_that_takes_too_much_loses_its_step_with_the_limit_in_the_reason(
    make_pool: MakePool,
    directory: Path,
    clock: Clock,
    reports: Reports,
    limits: dict[str, int],
    words: str,
    option: str,
) -> None:
    pool = make_pool(Limits(seconds=30), rooms=limited(directory, **limits))
    settle(pool, lambda: pool.ready)
    pool.launch(order("started pulled wait replied finished", 1, run_id=2))
    begun(pool)
    pool._tasks[0].clock = lambda: began  # its time stands still
    began = clock.now
    pool.launch(order(f"started {words}", 2))
    room = pool._tasks[1].room
    assert room is not None

    def passing() -> bool:
        clock.now += 0.5
        return pool.task_ids() == [1]

    settle(pool, passing)
    ((task_id, reason),) = reports
    assert task_id == 2
    if room.user is not None and "processes" in limits:
        # The kernel refuses the run a process; nothing of it goes on beyond its time.
        assert "time limit" in reason
    else:
        assert "The run exceeded its limit of" in reason
        assert option in reason
    assert room.processes() == []
    assert pool.task_ids() == [1]
    pool.launch(order("started pulled replied finished", 3))
    settle(pool, lambda: pool.task_ids() == [1])
    assert len(reports) == 1


def test_a_run_that_has_ended_loses_its_tasks_and_its_directory(
    pool: TaskPool, directory: Path, clock: Clock, reports: Reports
) -> None:
    pool.launch(order(f"started daemon:{directory}/pid pulled deaf", 1))
    pool.launch(order("started pulled wait replied finished", 2, run_id=2))
    begun(pool)
    assert pool.rooms is not None
    place = pool.rooms.directory / "1"
    assert place.is_dir()
    pool.close_room(1)
    pool.close_room(77)  # of which there is nothing here

    def gone() -> bool:
        clock.now += 0.5
        return pool.task_ids() == [2] and not place.exists()

    settle(pool, gone)
    assert living(int((directory / "pid").read_text())) is None
    assert reports == []
    assert pool.run_ids() == [2]
    settle(pool, lambda: pool.rooms is not None and pool.rooms._deletions.poll())
    assert not [each for each in pool.rooms.directory.iterdir() if "ended" in each.name]


def test_a_room_without_tasks_is_deleted_after_a_while(
    make_pool: MakePool, directory: Path, clock: Clock
) -> None:
    pool = make_pool(rooms=settings(directory, idle_seconds=60))
    settle(pool, lambda: pool.ready)
    pool.launch(order("started pulled replied finished"))
    run_to_the_end(pool)
    clock.now += 59
    pool.reconcile()
    assert pool.run_ids() == [1]
    clock.now += 2
    pool.reconcile()
    assert pool.run_ids() == []


def test_tasks_that_only_wait_take_no_slot(
    make_pool: MakePool, directory: Path, clock: Clock
) -> None:
    pool = make_pool(Limits(concurrent=1), rooms=settings(directory))
    settle(pool, lambda: pool.ready)
    pool.launch(order("started pulled wait finished", 1))
    begun(pool)
    assert pool.kinds_with_room() == frozenset()

    def waits() -> bool:
        clock.now += 0.5
        return pool.kinds_with_room() == frozenset(TaskKind)

    settle(pool, waits)
    pool.launch(order("started compute", 2, run_id=2))
    settle(pool, lambda: all(task.pid for task in pool._tasks))
    for _ in range(10):
        clock.now += 0.5
        pool.wait(0.3)
        pool.reconcile()
    assert pool.kinds_with_room() == frozenset()


def test_however_many_wait_there_is_an_end_to_them(
    make_pool: MakePool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(Limits(concurrent=1), rooms=settings(directory))
    monkeypatch.setattr(pool._keeper, "waits", lambda _: True)
    settle(pool, lambda: pool.ready)
    for number in range(1, 9):
        assert pool.kinds_with_room() == frozenset(TaskKind)
        pool.launch(order("started pulled wait finished", number, run_id=number))
    assert pool.kinds_with_room() == frozenset()


def test_nothing_of_a_closed_pool_is_left(
    make_pool: MakePool, directory: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(rooms=settings(directory))
    settle(pool, lambda: pool.ready)
    pool.launch(order(f"started daemon:{directory}/pid pulled wait replied finished"))
    begun(pool)
    room = pool._tasks[0].room
    assert room is not None
    assert room.pid is not None
    pool.close()
    for pid in (room.pid, int((directory / "pid").read_text())):
        assert pid not in all_processes()
    assert sorted(each.name for each in (directory / "rooms").iterdir()) == [".lock"]


def test_a_process_that_is_no_fork_goes_into_the_room_itself(
    make_pool: MakePool, directory: Path, reports: Reports
) -> None:
    pool = make_pool(forks=False, rooms=settings(directory))
    pool.launch(order(f"tell:{directory}/1 started pulled replied finished"))
    run_to_the_end(pool)
    assert reports == []
    told = facts(directory / "1")
    assert pool.rooms is not None
    assert told["directory"] == str(pool.rooms.directory / "1" / "work")
    assert (told["user"] != os.getuid()) is pool.rooms.offered.users


@pytest.mark.parametrize("forks", [True, False], ids=["a room's process", "no process of a room"])
def test_a_changed_authority_is_brought_to_tasks_under_way(
    make_pool: MakePool, directory: Path, forks: bool
) -> None:
    make_authority(directory / "old")
    make_authority(directory / "new")
    file = directory / "ca.crt"
    (directory / "old" / "ca.crt").replace(file)
    old, new = file.read_text(), (directory / "new" / "ca.crt").read_text()
    pool = make_pool(forks=forks, rooms=settings(directory), authority=file)
    settle(pool, lambda: pool.ready)
    pool.launch(order("started pulled wait finished"))
    begun(pool)
    assert pool.rooms is not None
    copy = pool.rooms.directory / "1" / "ca.crt"
    assert copy.read_text() == old
    (directory / "new" / "ca.crt").replace(file)
    settle(pool, lambda: copy.read_text() == new)
    assert not list(copy.parent.glob("*.partial"))
    assert pool.busy
