"""What both sides know of a room."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.executor.conftest import order

from fedstate.executor.plan import RoomPlan
from fedstate.walls import RunLimits, Walls

PLACE = Path("/rooms/1")
WALLS = Walls(
    PLACE, user=7, landlock=3, closed_ports=(1,), taken_ports=(2,), writable=(Path("/data"),)
)


def test_a_plan_arrives_as_it_was_sent() -> None:
    for walls in (None, WALLS):
        plan = RoomPlan(PLACE, "hash", PLACE / "work", walls, RunLimits(memory=5), "PEM")
        assert RoomPlan.from_json(plan.to_json()) == plan


def test_every_place_of_a_programs_own_is_in_the_room() -> None:
    given = RoomPlan(PLACE, "hash", PLACE / "work", WALLS).environment
    assert given["FLWR_HOME"] == "/rooms/1/flwr/hash"
    assert given["USER"] == "run-7"
    assert all(
        value.startswith("/rooms/1/")
        for name, value in given.items()
        if name not in ("USER", "LOGNAME")
    )


def test_a_task_is_led_to_the_copy_of_the_certificate_and_follows_no_process() -> None:
    told = order("")
    plan = RoomPlan(PLACE, "hash", PLACE / "work", certificate="PEM")
    assert plan.order(told).root_certificates_path is None
    told = replace(told, root_certificates_path="/secret/ca.crt", parent_pid=3)
    inside = plan.order(told)
    assert inside.root_certificates_path == "/rooms/1/ca.crt"
    assert inside.parent_pid is None
    assert inside.token == told.token


@pytest.mark.parametrize("name", ["ca.crt", ".ca.crt.partial"])
def test_a_certificate_follows_no_link_that_a_run_has_put_into_its_place(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "victim").write_text("of somebody else")
    (tmp_path / name).symlink_to(tmp_path / "victim")
    RoomPlan(tmp_path, "hash", tmp_path / "work", certificate="PEM").write_certificate()
    assert (tmp_path / "victim").read_text() == "of somebody else"
    assert (tmp_path / "ca.crt").read_text() == "PEM"
    assert not (tmp_path / "ca.crt").is_symlink()
