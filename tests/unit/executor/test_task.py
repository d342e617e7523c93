"""What an executor knows of a task, from the events of its process."""

import base64
import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.executor.conftest import Clock, order

from fedstate.executor.plan import RoomPlan
from fedstate.executor.room_client import Room
from fedstate.executor.task import Task
from fedstate.flower.task_order import TaskKind
from fedstate.forking.channel import Channel
from fedstate.forking.ending import Ending
from fedstate.walls import RunLimits

PULLED = {"event": "pulled", "message": base64.b64encode(b"\0message").decode()}


class Child:
    """A process that ends when it is told to."""

    pid = 1

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self.killed = False
        self.gone = False

    def poll(self) -> Ending | None:
        return self.ending

    def kill(self) -> None:
        self.killed = True


def task_with(kind: TaskKind = TaskKind.CLIENT_APP, **known: Any) -> tuple[Task, Channel]:
    ours, theirs = Channel.pair()
    return Task(order("", kind=kind), ours, **known), Channel(theirs)


def test_it_is_stuck_when_nobody_says_how_it_ended_though_its_channel_is_open(
    clock: Clock,
) -> None:
    """A room that a task has stopped may have had no time to close its copy of the channel."""
    child = Child()
    task, _process = task_with(child=child, clock=clock)
    assert not task.stuck()
    clock.now += 100
    assert not task.stuck()
    child.gone = True
    assert not task.stuck()
    assert not task.channel.ended
    clock.now += 6
    assert task.stuck()


@pytest.mark.parametrize(
    ("events", "message", "replied", "finished"),
    [
        ([], None, False, False),
        ([PULLED], b"\0message", False, False),
        ([PULLED, {"event": "replied"}], b"\0message", True, False),
        ([PULLED, {"event": "replied"}, {"event": "finished"}], b"\0message", True, True),
    ],
)
def test_events_are_taken_in(
    events: list[Mapping[str, Any]], message: bytes | None, replied: bool, finished: bool
) -> None:
    task, process = task_with(child=Child())
    for event in [{"event": "started", "pid": 1}, *events]:
        process.send(event)
    task.listen()
    assert (task.message, task.replied, task.finished) == (message, replied, finished)
    assert task.reported() is finished


@pytest.mark.parametrize("kind", TaskKind)
def test_only_an_output_that_was_pushed_is_a_report(kind: TaskKind) -> None:
    child = Child()
    task, process = task_with(kind, child=child)
    child.ending = Ending(0)
    assert not task.reported()
    process.send({"event": "finished"})
    task.listen()
    assert task.reported()


def test_a_task_that_has_finished_has_some_seconds_to_end_and_no_limit(clock: Clock) -> None:
    child = Child()
    task, process = task_with(child=child, clock=clock)
    process.send({"event": "finished"})
    task.listen()
    clock.now += 8
    assert not task.exceeds(1)
    task.kill_when_due()
    assert not child.killed
    task.stop("a stop does not give it more time", 100)
    clock.now += 0.1
    task.kill_when_due()
    assert child.killed


def test_a_stop_shortens_the_end_of_a_task_that_has_finished(clock: Clock) -> None:
    child = Child()
    task, process = task_with(child=child, clock=clock)
    process.send({"event": "finished"})
    task.listen()
    task.stop("enough", 1)
    clock.now += 1.1
    task.kill_when_due()
    assert child.killed


def test_a_task_has_ended_when_its_process_has_whatever_its_channel_says() -> None:
    child = Child()
    task, process = task_with(child=child)
    process.close()
    task.listen()
    assert task.channel.ended
    assert task.ended() is None
    child.ending = Ending(3)
    assert task.ended() == Ending(3)


def test_a_task_whose_process_nobody_knows_ends_with_its_channel() -> None:
    task, process = task_with()
    assert task.ended() is None
    process.close()
    task.listen()
    assert task.ended() == Ending(None)


def test_a_task_is_asked_to_stop_once_and_killed_after_the_grace(clock: Clock) -> None:
    child = Child()
    task, process = task_with(child=child, clock=clock)
    assert not task.exceeds(None)
    clock.now += 10
    assert not task.exceeds(10)
    assert task.exceeds(9.5)
    task.stop("too long", 5)
    clock.now += 5
    task.stop("another reason", 5)
    task.kill_when_due()
    assert not child.killed
    clock.now += 0.1
    task.kill_when_due()
    assert child.killed
    assert task.stop_reason == "too long"
    assert list(process.receive()) == [{"stop": "too long"}]


def test_a_task_that_is_over_is_told_so_though_it_was_asked_to_stop_before(clock: Clock) -> None:
    child = Child()
    task, process = task_with(child=child, clock=clock)
    assert task.kill_due_in == float("inf")
    task.stop("too long", 5)
    assert task.kill_due_in == 5
    task.stop("the run has ended", 1, over=True)
    assert task.kill_due_in == 1
    task.stop("again", 0, over=True)
    task.stop("again", 0)
    assert task.kill_due_in == 1
    assert (task.over, task.stop_reason) == (True, "the run has ended")
    assert list(process.receive()) == [
        {"stop": "too long"},
        {"stop": "the run has ended", "over": True},
    ]
    clock.now += 1.1
    task.kill_when_due()
    assert child.killed
    assert task.kill_due_in > 0, "whoever waits for this does not wait in vain"


def test_a_process_that_could_not_be_forked_is_reported_with_the_limit_that_it_met(
    tmp_path: Path,
) -> None:
    plan = RoomPlan(tmp_path, "f" * 64, tmp_path, limits=RunLimits(processes=7))
    task, room = task_with(room=Room(1, plan))
    room.send({"event": "unforked", "errno": errno.EAGAIN})
    room.close()
    while not task.channel.ended:
        task.listen()
    ending = task.ended()
    assert ending is not None
    assert not task.reported()
    said = task.why(ending)
    assert said.startswith("The process of the task could not be started")
    assert "7 processes" in said
    assert "(--max-processes)" in said
