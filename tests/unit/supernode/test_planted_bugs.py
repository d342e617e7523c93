"""Bugs that are planted in the machine and in what runs it: a walk catches each of them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from flwr.app import Error
from tests.unit.supernode.bringing_world import BringingWorld
from tests.unit.supernode.model import BrokenError, Disk
from tests.unit.supernode.world import World, walk

from fedstate.flower.errors import ErrorCode
from fedstate.store.errors import StoreFullError
from fedstate.supernode import machine, steps
from fedstate.supernode.actions import Actions, Outcome
from fedstate.supernode.machine import (
    RESENT_TABLE,
    TABLE,
    Command,
    Event,
    ImpossibleEventError,
    Stage,
)
from fedstate.supernode.step import Step
from fedstate.supernode.steps import Steps
from fedstate.supernode.turns import Turns
from fedstate.witness.receipts import Receipt

# Many times as many as each of them takes.
WALKS = 600

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """Log nothing: what goes wrong here goes wrong on purpose."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def row(stage: Stage, event: Event, following: Stage, *commands: Command) -> Plant:
    """Return a bug: another row in the table."""
    return lambda patch: patch.setitem(TABLE, (stage, event), (following, commands))


def no_row_for_resent(stage: Stage, event: Event) -> Plant:
    """Return a bug: that a message came again changes nothing."""
    return lambda patch: patch.delitem(RESENT_TABLE, (stage, event))


def commit_after_reply(patch: pytest.MonkeyPatch) -> None:
    commit, note = Actions.commit, Actions.note_answered
    late: dict[str, Any] = {}

    def pretend(self: Actions, step: Step, given: Any) -> Outcome:
        late[step.message_id] = given
        try:
            envelope, objects = self._state.pushed_reply(given[0])
        except LookupError as error:
            return Event.COMMIT_REFUSED, Error(ErrorCode.UNKNOWN, str(error))
        step.reply = envelope, objects
        return Event.COMMITTED, None

    def then(self: Actions, step: Step, given: object) -> Outcome:
        commit(self, step, late.pop(step.message_id))
        return note(self, step, given)

    patch.setattr(Actions, "commit", pretend)
    patch.setattr(Actions, "note_answered", then)


def committed_is_fresh(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Actions, "look_up", lambda *_: (Event.FRESH, None))


def overlapping_series(patch: pytest.MonkeyPatch) -> None:
    wait = Turns.wait

    def scattered(self: Turns[Step], series_id: int, item: Step, **options: Any) -> None:
        wait(self, id(item), item, **options)

    patch.setattr(Turns, "wait", scattered)
    patch.setattr(Turns, "end", lambda self, _, item: self._active.pop(id(item)))


def forgotten_when_it_comes_again(patch: pytest.MonkeyPatch) -> None:
    sent_again = Steps._sent_again

    def forget_first(self: Steps, step: Step) -> bool:
        with suppress(StoreFullError):
            self._state.store.forget(step.message_id)
        return sent_again(self, step)

    patch.setattr(Steps, "_sent_again", forget_first)


def stale_reply(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(machine, "_RESENT_AFTER", machine._RESENT_AFTER - {Stage.SENDING})
    patch.setattr(machine, "_RESENT_BEFORE", machine._RESENT_BEFORE | {Stage.SENDING})


def no_receipt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Actions, "_receipt", lambda *_: None)


def receipt_of_another(patch: pytest.MonkeyPatch) -> None:
    """Return a bug: the receipt of an earlier attempt goes with the reply of a later one."""

    def first(self: Disk, message_id: str) -> Receipt | None:
        return next((each.receipt for each in self.log if each.message_id == message_id), None)

    patch.setattr(Disk, "receipt", first)


def full_disk_leaves_no_row(patch: pytest.MonkeyPatch) -> None:
    forget = Disk.forget
    patch.setattr(Disk, "forget", lambda self, *given: forget(self, *given[:2]))


def late_failure(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(machine, "_TASK_ENDED", machine._TASK_ENDED - {Stage.SENDING})
    failure = TABLE[Stage.RUNNING, Event.FAILED]
    patch.setitem(TABLE, (Stage.SENDING, Event.FAILED), failure)


def last_comes_first(patch: pytest.MonkeyPatch) -> None:
    wait = Turns.wait
    patch.setattr(
        Turns, "wait", lambda self, series, item, **_: wait(self, series, item, first=True)
    )


def nobody_is_woken(patch: pytest.MonkeyPatch) -> None:
    end_turn = Steps._end_turn

    def quietly(self: Steps, step: Step, following: Step | None) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(self, "_give_turns", lambda: None)
            end_turn(self, step, following)

    patch.setattr(Steps, "_end_turn", quietly)


def stored_reply_as_if_new(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(TABLE, (Stage.STARTING, Event.REPLY_STORED), (Stage.SENDING, (Command.SEND,)))


def full_disk_is_no_matter(patch: pytest.MonkeyPatch) -> None:
    accept = Steps._accept

    def careless(self: Steps, step: Step) -> Outcome:
        store = self._state.store
        receive = store.receive

        def forgiving(*arguments: Any) -> None:
            try:
                receive(*arguments)
            except StoreFullError:
                return

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(store, "receive", forgiving)
            return accept(self, step)

    patch.setattr(Steps, "_accept", careless)


def ended_run_starts(patch: pytest.MonkeyPatch) -> None:
    create = Steps._create_task

    def carelessly(self: Steps, step: Step, given: object) -> Outcome | None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(self.runs, "has_ended", lambda _: False)
            return create(self, step, given)

    patch.setattr(Steps, "_create_task", carelessly)
    patch.setattr(Actions, "look_up", look_up_ended_as_fresh)


def look_up_ended_as_fresh(self: Actions, step: Step, given: object) -> Outcome:
    with pytest.MonkeyPatch.context() as inner:
        inner.setattr(self._runs, "has_ended", lambda _: False)
        return _LOOK_UP(self, step, given)


def nobody_stops_the_work(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Steps, "_end_work", lambda *_: None)


def the_queue_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Turns, "skip", lambda *_: False)


def who_has_a_turn_is_taken_out_of_the_queue(patch: pytest.MonkeyPatch) -> None:
    skip = Turns.skip

    def too_much(self: Turns[Step], series_id: int, item: Step) -> bool:
        begun = item.phase.stage is not Stage.WAITING
        return skip(self, series_id, item) or (self._active.get(series_id) is item and not begun)

    patch.setattr(Turns, "skip", too_much)


_LOOK_UP = Actions.look_up

BUGS: dict[str, tuple[Plant, str]] = {
    "the commit comes after the reply": (
        commit_after_reply,
        "A reply left before its state was durable",
    ),
    "a step is forgotten when its message comes again": (
        forgotten_when_it_comes_again,
        "neither durable nor answered|committed step was forgotten|store does not have",
    ),
    "two steps of a series at once": (overlapping_series, "of a series"),
    "the steps of a series in the wrong order": (last_comes_first, "before an earlier one"),
    "a failed step is not forgotten": (
        row(Stage.SENDING_ERROR, Event.SENT, Stage.OVER, Command.RELEASE),
        "left as received|before an earlier one",
    ),
    "a committed step is forgotten at the end of its run": (
        row(Stage.SENDING, Event.RUN_ENDED, Stage.FORGETTING, Command.FORGET),
        "A committed step was forgotten",
    ),
    "a committed step is made again after a kill": (
        committed_is_fresh,
        "again after its commit|FRESH .* cannot happen",
    ),
    "a message that comes again while the reply is on its way gets none": (
        stale_reply,
        "neither durable nor answered",
    ),
    "a message that comes again while the step is forgotten is lost": (
        no_row_for_resent(Stage.FORGETTING, Event.PAUSED),
        "neither durable nor answered",
    ),
    "a message that comes again before the reply is noted is noted as answered": (
        no_row_for_resent(Stage.CONFIRMING, Event.CONFIRMED),
        "neither durable nor answered",
    ),
    "the end of a step wakes nobody": (nobody_is_woken, "A step is left waiting"),
    "an error counts as an answer": (
        row(Stage.SENDING_ERROR, Event.SENT, Stage.NOTING, Command.NOTE_ANSWERED),
        "A failed step was noted as answered",
    ),
    "a task that expires late fails a committed step": (
        late_failure,
        "An error was sent for a step that is committed|(FAILED|OUTPUT) .* SENDING",
    ),
    "a reply that was half sent is sent as if it were new": (
        stored_reply_as_if_new,
        "A message is never answered",
    ),
    "a full disk when a message comes is overlooked": (
        full_disk_is_no_matter,
        "neither durable nor answered|the store does not have",
    ),
    "a receipt is not sent": (no_receipt, "answered without its receipt|without a receipt"),
    "the receipt of an earlier attempt is sent": (receipt_of_another, "receipt is"),
    "the failure of a step is not logged before its error leaves": (
        row(
            Stage.RUNNING,
            Event.FAILED,
            Stage.SENDING_ERROR,
            *(Command.FAIL_TASK, Command.WRITE_ERROR, Command.SEND),
        ),
        "A failed step was answered without a receipt",
    ),
    "a failure for whose row there was no room leaves none": (
        full_disk_leaves_no_row,
        "forgotten without a row",
    ),
    "an answer is noted only if there is room at once": (
        row(Stage.NOTING, Event.DISK_FULL, Stage.OVER, Command.RELEASE),
        "left as committed",
    ),
    "a step of a run that has ended is begun": (
        ended_run_starts,
        "A step was begun whose run has ended",
    ),
    "a task of a run that has ended goes on": (
        nobody_stops_the_work,
        "A ClientApp works for a run that has ended",
    ),
    "a task goes on until the store has room to forget its step": (
        row(Stage.RUNNING, Event.RUN_ENDED, Stage.FORGETTING, Command.FORGET),
        "A ClientApp works for a run that has ended",
    ),
    "a message of a run that has ended waits on": (
        the_queue_is_not_looked_at,
        "A step waits whose run has ended",
    ),
    "a message that waits when its run ends is forgotten though it is committed": (
        row(Stage.WAITING, Event.RUN_ENDED, Stage.FORGETTING, Command.FORGET),
        "A committed step was forgotten",
    ),
    "a step that was given its turn goes on without it when its run ends": (
        who_has_a_turn_is_taken_out_of_the_queue,
        "TURN .* cannot happen",
    ),
}


def walk_until_broken(kind: type[World] = World) -> None:
    """Walk the world again and again, each time on another way."""
    for seed in range(WALKS):
        walk(seed, kind)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, sentence = BUGS[bug]
    plant(monkeypatch)
    with pytest.raises((BrokenError, ImpossibleEventError), match=sentence):
        walk_until_broken()


def test_a_node_that_claims_what_it_has_answered_loses_what_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when it names every step that it has not forgotten yet to a SuperLink that brings."""
    monkeypatch.setattr(steps, "BEFORE_REPLY", set(Stage))
    with pytest.raises(BrokenError, match="neither durable nor answered"):
        walk_until_broken(BringingWorld)
