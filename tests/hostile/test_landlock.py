"""Plain processes without root: Landlock alone."""

import os
from collections.abc import Iterator

import pytest

from tests.hostile import checks
from tests.hostile.siege import Siege, besieged

MODE = "landlock"
pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        not os.environ.get("FEDSTATE_SLOW"), reason="takes minutes: make test-long"
    ),
]


@pytest.fixture(scope="module")
def siege() -> Iterator[Siege]:
    yield from besieged(MODE)


@pytest.mark.parametrize(("side", "name"), checks.probe_cases(MODE))
def test_a_probe_is_denied(siege: Siege, side: str, name: str) -> None:
    checks.check_probe(siege, side, name)


@pytest.mark.parametrize("name", checks.bomb_cases(MODE))
def test_a_bomb_costs_its_own_run_alone(siege: Siege, name: str) -> None:
    checks.check_bomb(siege, name)


def test_executor_and_fork_server_survive_all_bombs(siege: Siege) -> None:
    checks.check_survivors(siege)


def test_nothing_is_left_of_a_run_that_has_ended(siege: Siege) -> None:
    checks.check_leftovers(siege)


def test_runs_that_sleep_hold_no_slot(siege: Siege) -> None:
    checks.check_slots(siege)


def test_two_runs_that_want_to_meet_in_a_room_do_not(siege: Siege) -> None:
    checks.check_notes(siege)


def test_the_victim_comes_to_the_state_of_an_undisturbed_run(siege: Siege) -> None:
    checks.check_victim(siege)
