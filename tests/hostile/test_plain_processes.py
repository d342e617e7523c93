"""Plain processes as root, with a user for each run, and of another user, with Landlock alone."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.hostile import checks
from tests.hostile.siege import Siege, besieged

SLOW = pytest.mark.skipif(
    not os.environ.get("FEDSTATE_SLOW"), reason="takes minutes: make test-long"
)
MODES: dict[str, tuple[pytest.MarkDecorator, ...]] = {"root": (), "landlock": (SLOW,)}
pytestmark = pytest.mark.timeout(1500)

Sieges = Callable[[str], Siege]


@pytest.fixture(scope="module")
def sieges() -> Iterator[Sieges]:
    """Return the siege of an installation, which is made when a test first asks for it."""
    made: dict[str, Siege | BaseException] = {}
    with ExitStack() as stack:

        def siege(mode: str) -> Siege:
            if mode not in made:
                try:
                    made[mode] = stack.enter_context(besieged(mode))
                except BaseException as error:  # once for all tests: it takes a minute
                    made[mode] = error
            found = made[mode]
            if isinstance(found, BaseException):
                raise found
            return found

        yield siege


def in_each(cases: Callable[[str], list[tuple[str, ...]]]) -> list[object]:
    """Return the cases of every mode, with the mode before each."""
    return [
        pytest.param(mode, *case, id="-".join((mode, *case)), marks=marks)
        for mode, marks in MODES.items()
        for case in cases(mode)
    ]


of_each = pytest.mark.parametrize("mode", in_each(lambda _: [()]))


@pytest.mark.parametrize(("mode", "side", "name"), in_each(checks.probe_cases))
def test_a_probe_is_denied(sieges: Sieges, mode: str, side: str, name: str) -> None:
    checks.check_probe(sieges(mode), side, name)


@pytest.mark.parametrize(
    ("mode", "name"), in_each(lambda mode: [(name,) for name in checks.bomb_cases(mode)])
)
def test_a_bomb_costs_its_own_run_alone(sieges: Sieges, mode: str, name: str) -> None:
    checks.check_bomb(sieges(mode), name)


@of_each
def test_executor_and_fork_server_survive_all_bombs(sieges: Sieges, mode: str) -> None:
    checks.check_survivors(sieges(mode))


@of_each
def test_nothing_is_left_of_a_run_that_has_ended(sieges: Sieges, mode: str) -> None:
    checks.check_leftovers(sieges(mode))


@of_each
def test_runs_that_sleep_hold_no_slot(sieges: Sieges, mode: str) -> None:
    checks.check_slots(sieges(mode))


@of_each
def test_two_runs_that_want_to_meet_in_a_room_do_not(sieges: Sieges, mode: str) -> None:
    checks.check_notes(sieges(mode))


@of_each
def test_the_victim_comes_to_the_state_of_an_undisturbed_run(sieges: Sieges, mode: str) -> None:
    checks.check_victim(sieges(mode))
