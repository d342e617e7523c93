"""What an attempt is: something that somebody on the network tries, and what has to refuse it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.stack.doors.wire import Answer

if TYPE_CHECKING:
    from tests.stack.doors.door import Door
    from tests.stack.doors.ground import Ground

Function = Callable[["Ground", "Door", "Outcome"], None]
DOORS = ("control", "fleet", "runtime", "node")


class Outcome:
    """What came of one attempt at one door.

    Parameters
    ----------
    refusals : frozenset
        Statuses and words that refuse it.
    """

    def __init__(self, refusals: frozenset[Answer]) -> None:
        self._refusals = refusals
        self.tries = 0
        self.through: list[str] = []

    def of(self, what: str, answer: Answer, *more: Answer) -> None:
        """Take the answer to one try; `more` are answers that refuse this one as well."""
        self.tries += 1
        if answer not in self._refusals and answer not in more:
            self.through.append(f"{what}: {answer}")

    def expect(self, what: str, refused: object) -> None:
        """Take one try that is not refused by an answer, but by what came of it."""
        self.tries += 1
        if not refused:
            self.through.append(what)


@dataclass(frozen=True)
class Attempt:
    """One attempt.

    Attributes
    ----------
    function
        Makes it at one door.
    refusals
        The answers that refuse it.
    doors
        The doors that it is made at.
    early
        Whether it takes its time: it begins before all others and goes on beside them.
    """

    function: Function
    refusals: frozenset[Answer]
    doors: tuple[str, ...]
    early: bool

    @property
    def name(self) -> str:
        """What tests and the threat model call it."""
        return self.function.__name__.strip("_").replace("_", "-")


ATTEMPTS: dict[str, Attempt] = {}


def attempt(
    *refusals: Answer, doors: tuple[str, ...] = DOORS, early: bool = False
) -> Callable[[Function], Function]:
    """Register an attempt."""

    def register(function: Function) -> Function:
        made = Attempt(function, frozenset(refusals), doors, early)
        ATTEMPTS[made.name] = made
        return function

    return register


def make(attempt: Attempt, ground: "Ground", door: str) -> Outcome:
    """Make an attempt at a door; return what came of it."""
    outcome = Outcome(attempt.refusals)
    attempt.function(ground, ground.doors[door], outcome)
    outcome.through[:] = [f"{door}: {what}" for what in outcome.through]
    return outcome
