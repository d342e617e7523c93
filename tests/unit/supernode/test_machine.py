"""The machine of a step, and everything that runs it, walked through a world full of faults.

`walk` takes one path through the world of `world.py`, chosen by a seed; hypothesis takes others,
and makes the one that broke a promise as short as it can.
"""

import ast
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.unit.supernode.bringing_world import BringingWorld
from tests.unit.supernode.world import World, walk

from fedstate.supernode import machine, steps
from fedstate.supernode.machine import (
    ARRIVED,
    RESENT_TABLE,
    TABLE,
    Command,
    Event,
    ImpossibleEventError,
    Phase,
    Stage,
    advance,
)

TRANSITIONS = 100_000
BRINGING_WALKS = 300


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """Log nothing: what goes wrong here goes wrong on purpose, a hundred thousand times."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_the_machine_needs_nothing_to_run() -> None:
    tree = ast.parse(Path(machine.__file__).read_text())
    imported = {each.module for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)}
    assert imported == {"dataclasses", "enum"}
    assert not [each for each in ast.walk(tree) if isinstance(each, ast.Import)]


def test_what_cannot_happen_is_an_error_that_names_it() -> None:
    with pytest.raises(ImpossibleEventError, match=r"COMMITTED .* WAITING .* cannot happen"):
        advance(Phase(Stage.WAITING), Event.COMMITTED)


def test_the_way_of_a_step_that_succeeds() -> None:
    phase, done = ARRIVED, list[Command]()
    for event in (
        Event.STORED,
        Event.TURN,
        Event.FRESH,
        Event.PULLED,
        Event.OUTPUT,
        Event.COMMITTED,
        Event.SENT,
        Event.CONFIRMED,
        Event.NOTED,
    ):
        phase, commands = advance(phase, event)
        done += commands
    assert phase == Phase(Stage.OVER)
    assert done == [
        Command.QUEUE,
        Command.LOOK_UP,
        Command.PULL,
        Command.CREATE_TASK,
        Command.COMMIT,
        Command.COMPLETE_TASK,
        Command.SEND,
        Command.CONFIRM,
        Command.NOTE_ANSWERED,
        Command.RELEASE,
    ]


def test_a_step_that_is_worked_on_when_its_run_ends_gives_no_reply() -> None:
    phase, commands = advance(Phase(Stage.RUNNING), Event.RUN_ENDED)
    assert (phase.stage, commands) == (Stage.FORGETTING, (Command.STOP_TASK, Command.FORGET))
    # What its ClientApp says until it has ended changes nothing.
    for late in (Event.OUTPUT, Event.FAILED):
        assert advance(phase, late) == (phase, ())
    assert advance(phase, Event.NOTED) == (Phase(Stage.OVER), (Command.RELEASE,))


@pytest.mark.parametrize("resent", [False, True])
@pytest.mark.parametrize("stage", list(Stage))
def test_a_stage_waits_for_one_thing_at_a_time(stage: Stage, resent: bool) -> None:
    """Every row has at most one command with an outcome, so that no two are ever under way."""
    with_outcome = set(Command) - {
        Command.QUEUE,
        Command.CREATE_TASK,
        Command.COMPLETE_TASK,
        Command.FAIL_TASK,
        Command.STOP_TASK,
        Command.RECORD,
        Command.WRITE_ERROR,
        Command.RELEASE,
        Command.QUEUE_AGAIN,
    }
    for event in Event:
        try:
            following, commands = advance(Phase(stage, resent), event)
        except ImpossibleEventError:
            continue
        assert sum(command in with_outcome for command in commands) <= 1
        assert not set(commands[:-1]) & with_outcome
        if following.stage is Stage.OVER:
            assert not set(commands) & with_outcome


def test_a_hundred_thousand_transitions_break_no_promise(
    monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    count, seen = 0, set[tuple[bool, Stage, Event]]()

    def counted(phase: Phase, event: Event) -> tuple[Phase, machine.Commands]:
        nonlocal count
        count += 1
        seen.add((phase.resent, phase.stage, event))
        return advance(phase, event)

    monkeypatch.setattr(steps, "advance", counted)
    walks = 0
    while count < TRANSITIONS:
        walk(walks)
        walks += 1
    record_property("transitions", count)
    print(f"{count} transitions in {walks} walks")  # noqa: T201
    # A row that no walk comes to is a row that nothing checks.
    stages = {(stage, event) for _, stage, event in seen}
    assert set(TABLE) <= stages
    assert {(True, *row) for row in RESENT_TABLE} <= seen
    assert {stage for stage, event in stages if event is Event.RESENT} == {
        *machine._RESENT_BEFORE,
        *machine._RESENT_AFTER,
    }


def test_what_is_lost_on_its_way_is_handed_out_again_and_breaks_no_promise() -> None:
    for seed in range(BRINGING_WALKS):
        walk(seed, BringingWorld)


class Paths(RuleBasedStateMachine):
    """Paths through the world that hypothesis chooses."""

    world: World

    @initialize()
    def begin(self) -> None:
        self.world = World(lambda _: None)

    def _act(self, data: st.DataObject, who: str) -> None:
        self.world.choose = lambda options: data.draw(st.sampled_from(list(options)))
        self.world.act(who)

    @rule(data=st.data())
    def serverapp(self, data: st.DataObject) -> None:
        self._act(data, "serverapp")

    @rule(data=st.data())
    def superlink(self, data: st.DataObject) -> None:
        self._act(data, "superlink")

    @rule(data=st.data())
    def supernode(self, data: st.DataObject) -> None:
        self._act(data, "supernode")

    @rule(data=st.data())
    def pool(self, data: st.DataObject) -> None:
        self._act(data, "pool")

    @rule(data=st.data())
    def clientapp(self, data: st.DataObject) -> None:
        self._act(data, "clientapp")

    @rule(data=st.data())
    def disaster(self, data: st.DataObject) -> None:
        self._act(data, "disaster")

    def teardown(self) -> None:
        self.world.choose = lambda options: options[0]
        self.world.drain()


TestPaths = Paths.TestCase
TestPaths.settings = settings(
    derandomize=True,
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
