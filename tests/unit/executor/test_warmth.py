"""What a room imports for the tasks of its run, and when another process takes its place."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.executor.conftest import order, settings, settle
from tests.unit.executor.test_pool import MakePool, run_to_the_end
from tests.unit.walls.conftest import as_nobody, outcome

from fedstate.executor import rooms
from fedstate.executor.import_report import ImportReport, Variable
from fedstate.executor.pool import TaskPool
from fedstate.executor.warmth import KnownImports, Warmth
from fedstate.walls import Offered, landlock, mounts


def report(*names: str, left: tuple[tuple[str, str], ...] = ()) -> ImportReport:
    return ImportReport(tuple((name, 1.0) for name in names), left)


def said(event: dict[str, Any]) -> str:
    line = json.dumps(event).encode() + b"\n"
    return f"raw:{base64.b64encode(line).decode()}"


def imported(*names: str) -> str:
    return said({"event": "imported", **report(*names).to_json()})


def test_what_tasks_report_is_wanted_once() -> None:
    warmth = Warmth()
    assert warmth.wanted() is None
    warmth.learn(1, report("wave"))
    assert warmth.wanted() == report("wave")
    assert warmth.wanted() is None
    warmth.learn(1, report("wave"))
    assert warmth.wanted() is None
    warmth.learn(1, report("wave", "this"))
    assert warmth.wanted() == report("wave", "this")
    warmth.began()
    assert warmth.wanted() == report("wave", "this")


def test_what_does_not_survive_a_fork_is_left_out_by_the_next_process() -> None:
    warmth = Warmth()
    warmth.learn(1, report("wave", "this"))
    warmth.unfit(("wave",))
    assert warmth.stale
    warmth.began()
    assert not warmth.stale
    assert warmth.wanted() == report("this")


def test_a_cold_room_imports_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    warmth = Warmth()
    warmth.learn(1, report("wave", left=(("threads", "starts a thread"),)))
    for _ in range(2):
        warmth.go_bare(1, "The app sets OMP_NUM_THREADS.", cold=True)
    assert (warmth.bare, warmth.stale, warmth.wanted()) == (True, True, None)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "Run 1: The module 'threads' is left to each message: it starts a thread.",
        "Run 1: The app sets OMP_NUM_THREADS.",
    ]


def test_a_room_whose_imports_end_it_imports_nothing_any_more() -> None:
    warmth = Warmth()
    warmth.learn(1, report("wave"))
    warmth.broke(1)
    warmth.began()
    assert warmth.wanted() is None


def test_what_an_app_imports_is_known_to_later_runs_of_the_same_code_alone() -> None:
    known = KnownImports()
    Warmth(known, "one").learn(1, report("wave", left=(("threads", "starts a thread"),)))
    again = Warmth(known, "one")
    again.began()
    assert again.wanted() == report("wave"), "and without what is said of each run"
    for fab_hash in ("other", ""):
        other = Warmth(known, fab_hash)
        other.began()
        assert other.wanted() is None


@pytest.mark.parametrize(
    "learnt",
    [
        replace(report("wave"), environment=(Variable(0, "A", "B"),)),
        replace(report("wave"), installed="/directory/of/run"),
    ],
)
def test_what_a_run_sets_or_installs_is_not_known_to_another(learnt: ImportReport) -> None:
    known = KnownImports()
    Warmth(known, "one").learn(1, report("wave"))
    Warmth(known, "one").learn(2, learnt)
    assert known.of("one") == ImportReport()


@pytest.mark.parametrize(
    "happens",
    [
        lambda warmth: warmth.broke(1),
        lambda warmth: warmth.go_bare(1, "The app sets it.", cold=False),
        lambda warmth: warmth.unfit(("wave",)),
    ],
    ids=["broke", "went bare", "unfit"],
)
def test_what_does_not_hold_for_all_runs_of_an_app_is_forgotten(
    happens: Callable[[Warmth], None],
) -> None:
    known = KnownImports()
    warmth = Warmth(known, "one")
    warmth.learn(1, report("wave"))
    happens(warmth)
    assert known.of("one") == ImportReport()
    if warmth.bare:
        warmth.learn(1, report("this"))
        assert known.of("one") == ImportReport(), "a bare room's imports need not be of use"


def test_only_so_many_apps_are_known() -> None:
    known = KnownImports()
    for number in range(1000):
        known.learn(str(number), report("wave"))
    assert known.of("0") == ImportReport()
    assert known.of("999") == report("wave")
    assert len(known._reports) < 1000


def modules_of(pool: TaskPool, directory: Path, number: int, words: str = "") -> list[str]:
    pool.launch(order(f"started tell:{directory}/{number} {words} finished", number))
    run_to_the_end(pool)
    told: dict[str, Any] = json.loads((directory / str(number)).read_text())
    found: list[str] = told["modules"]
    return found


def warmed(pool: TaskPool) -> None:
    assert pool.rooms is not None
    (room,) = pool.rooms.all.values()

    def idle() -> bool:
        client = room.client
        return client is not None and client.ready and client.importing is None

    settle(pool, idle)


@pytest.mark.usefixtures("walls")
def test_later_tasks_of_a_run_find_imported_what_the_first_reported(
    make_pool: MakePool, directory: Path
) -> None:
    pool = make_pool(rooms=settings(directory))
    settle(pool, lambda: pool.ready)
    assert "wave" not in modules_of(pool, directory, 1, imported("wave", "no_such_module"))
    warmed(pool)
    assert "wave" in modules_of(pool, directory, 2)
    assert pool.rooms is not None
    (room,) = pool.rooms.all.values()
    assert room.client is not None
    assert room.client.left == ("no_such_module",)


@pytest.mark.usefixtures("walls")
def test_a_run_whose_task_went_bare_has_a_bare_room_from_then_on(
    make_pool: MakePool, directory: Path
) -> None:
    pool = make_pool(rooms=settings(directory))
    settle(pool, lambda: pool.ready)
    bare = said({"event": "bare", "reason": "The app sets it.", "cold": False})
    before = json_of(directory, modules_of(pool, directory, 1, bare), 1)
    warmed(pool)
    after = json_of(directory, modules_of(pool, directory, 2), 2)
    assert before["parent"] != after["parent"]
    assert before["directory"] == after["directory"]
    assert before["user"] == after["user"]
    assert pool.rooms is not None
    assert pool.rooms.all[1].warmth.bare


def test_a_bare_room_without_a_user_has_memory_of_its_own_as_any_other(
    make_pool: MakePool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if as_nobody(lambda: outcome(mounts.own_memory)) != "done":
        pytest.skip("this kernel lets no user have namespaces: sysctl user.max_user_namespaces")
    only = Offered(landlock.abi(), "this is a test", own_memory=True)
    monkeypatch.setattr(rooms, "offered", lambda _: only)
    pool = make_pool(rooms=settings(directory))
    settle(pool, lambda: pool.ready)
    bare = said({"event": "bare", "reason": "The app sets it.", "cold": False})
    before = json_of(directory, modules_of(pool, directory, 1, bare), 1)
    warmed(pool)
    after = json_of(directory, modules_of(pool, directory, 2), 2)
    here = str(Path("/proc/self/ns/ipc").readlink())
    assert len({here, before["memory"], after["memory"]}) == 3


def json_of(directory: Path, _modules: list[str], number: int) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((directory / str(number)).read_text())
    return told


@pytest.mark.parametrize(
    "event",
    [
        {"event": "imported", "modules": [["os; print()", 1]]},
        {"event": "imported", "modules": 3},
        {"event": "imported", "environment": [[9, "A", "B"]]},
        {"event": "bare", "reason": "line\nline", "cold": False},
        {"event": "bare", "reason": "x" * 1000, "cold": False},
        {"event": "bare"},
    ],
)
@pytest.mark.usefixtures("walls")
def test_a_report_that_is_none_ends_its_task(
    make_pool: MakePool, directory: Path, reports: list[tuple[int, str]], event: dict[str, Any]
) -> None:
    pool = make_pool(rooms=settings(directory))
    settle(pool, lambda: pool.ready)
    pool.launch(order(f"started {said(event)} deaf"))
    run_to_the_end(pool)
    assert "and was ended." in reports[0][1]
