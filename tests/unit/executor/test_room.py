"""What the process of a room does before it forks."""

import errno
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.executor.conftest import order
from tests.unit.walls.conftest import in_child

from fedstate.executor import room
from fedstate.executor.output import Output
from fedstate.executor.plan import RoomPlan
from fedstate.executor.printed import Printed
from fedstate.walls import RunLimits
from fedstate.walls.processes import descendants


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[RoomPlan]:
    output = Output(tmp_path, Printed(1, "clientapp"))
    yield RoomPlan(
        tmp_path, "hash", tmp_path / "work", limits=RunLimits(open_files=64), certificate="PEM"
    )
    output.close()


def test_it_is_in_the_runs_own_places(plan: RoomPlan, tmp_path: Path) -> None:
    def look() -> str:
        room.enter(plan)
        import tempfile

        return json.dumps([os.environ["HOME"], tempfile.gettempdir(), str(Path.cwd())])

    home, temporary, work = json.loads(in_child(look))
    assert home == str(tmp_path / "home")
    assert temporary == str(tmp_path / "tmp")
    assert work == str(tmp_path / "work")
    assert (tmp_path / "ca.crt").read_text() == "PEM"
    assert (tmp_path / "flwr" / "hash").is_dir()


def test_keras_is_led_there_too(plan: RoomPlan, tmp_path: Path) -> None:
    def look() -> str:
        import sys
        from types import ModuleType

        config = ModuleType("keras.src.backend.config")
        sys.modules["keras.src.backend.config"] = config
        room.enter(plan)
        return str(config.__dict__["_KERAS_DIR"])

    assert in_child(look) == str(tmp_path / "keras")


def test_an_app_that_may_start_no_more_makes_way_for_its_report(plan: RoomPlan) -> None:
    limited = replace(plan, limits=RunLimits(processes=5))

    def look() -> list[int]:
        room.remember(limited.to_json())
        for _ in range(3):
            if os.fork() == 0:
                time.sleep(10)
                os._exit(0)
        counts = []
        for error in (OSError(errno.EMFILE, "no"), BlockingIOError(errno.EAGAIN, "no")):
            room.make_way(error)
            counts.append(len(descendants(os.getpid())))
        return counts

    assert in_child(look) == [3, 0]


def test_an_error_that_a_limit_explains_names_it(plan: RoomPlan) -> None:
    def look() -> list[str]:
        error = OSError(errno.EMFILE, "Too many open files")
        before = room.hint(error)
        room.enter(plan)
        return [before, room.hint(error), room.hint(ValueError())]

    before, named, none = in_child(look)
    assert before == none == ""
    assert "64 open files here (--max-open-files)" in named


def test_the_next_program_has_the_rooms_passage_and_what_it_starts_has_not(
    plan: RoomPlan, tmp_path: Path
) -> None:
    here = replace(plan, socket=tmp_path / "api.sock")

    def look() -> list[object]:
        passage = os.open(tmp_path, os.O_PATH | os.O_CLOEXEC)
        room.remember(here.to_json(), passage)
        handed = room.inherited_passage()
        told: list[object] = [handed == passage, os.get_inheritable(passage)]
        room.remember(room.remembered(), handed)
        task = room.reaching(order("token"))
        expected = f"/proc/self/fd/{passage}/api.sock"
        return [*told, os.get_inheritable(passage), task.runtime_api_socket == expected]

    assert in_child(look) == [True, True, False, True]


def test_without_a_passage_a_task_has_the_path_of_the_socket(
    plan: RoomPlan, tmp_path: Path
) -> None:
    def reached(given: RoomPlan) -> str | None:
        room.remember(given.to_json())
        return room.reaching(order("token")).runtime_api_socket

    path = tmp_path / "api.sock"
    assert in_child(lambda: reached(replace(plan, socket=path))) == str(path)
    assert in_child(lambda: reached(plan)) is None
