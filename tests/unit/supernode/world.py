"""A small world around real `Steps`: ServerApps, a SuperLink, ClientApps, a store, and faults.

Everything that is not `Steps`, its machine, its turns and its actions is a model here, on one
thread: the pool is a list of jobs, and whoever walks this world chooses which of them runs next,
what the SuperLink answers, when a disk is full and when the SuperNode is killed. A kill leaves
what the store had at that moment, and nothing else.

The world raises `Broken` as soon as a promise is broken, and `drain` raises it if something is
left waiting when the faults have stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

from flwr.app import Error, Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.supercore.inflatable.inflatable_object import get_object_tree

from fedstate.flower.errors import (
    ErrorCode,
    MessageUnavailableError,
    RefusedError,
    ReplyIncompleteError,
    RunEndedError,
    UnreachableError,
)
from fedstate.flower.stored_values import Envelope
from fedstate.large.context import PackedContext
from fedstate.large.wire import Parts
from fedstate.store.errors import StoreFullError
from fedstate.store.node_store import StoredStep
from fedstate.store.values import Value
from fedstate.supernode.machine import Stage
from fedstate.supernode.step import Step
from fedstate.supernode.steps import Steps

Option = TypeVar("Option")
Choose = Callable[[Sequence[Any]], Any]

CONCURRENCY = 2
# Runs 1 and 2 are of one series.
SERIES = {1: 7, 2: 7, 3: 8, 4: 9}
MESSAGES_OF_A_RUN = 5
OUTSTANDING = 3
REPLIES_KEPT = 2
TRIES_OF_A_CRASH = 3


class Broken(AssertionError):
    """A promise was broken."""


class Killed(BaseException):
    """The SuperNode was killed."""


def promise(condition: object, sentence: str) -> None:
    """Raise `Broken` unless the condition holds."""
    if not condition:
        raise Broken(sentence)


def _envelope(message: Message) -> Envelope:
    message.metadata.__dict__["_message_id"] = message.object_id
    return Envelope(message, get_object_tree(message))


def _messages(run_id: int) -> list[tuple[Envelope, Envelope]]:
    """Return the messages of a run, each with a reply of a ClientApp."""
    pairs = []
    for number in range(MESSAGES_OF_A_RUN):
        metadata = Metadata(run_id, "", 2, 3, "", str(number), 1000.0 + number, 10.0, "train")
        message = make_message(metadata=metadata, content=RecordDict())
        envelope = _envelope(message)
        pairs.append((envelope, _envelope(Message(RecordDict(), reply_to=message))))
    return pairs


MESSAGES = {run_id: _messages(run_id) for run_id in SERIES}


@dataclass
class Asked:
    """A message as the ServerApp and the SuperLink see it.

    Attributes
    ----------
    at : str
        ``absent``, ``pending`` (to be pulled) or ``delivered`` at the SuperLink.
    reply : tuple, optional
        What the SuperLink has as the reply and the ServerApp has not taken.
    half : bool
        Whether objects of the reply are missing.
    half_taken : bool
        Whether the ServerApp waits for the missing objects.
    result : str, optional
        What the ServerApp got in the end.
    tries : int
        How often it has sent the message again because its ClientApp crashed.
    owed : bool
        Whether it was given an error for which it will send the message again.
    dropped : bool
        Whether the SuperLink has said by mistake that the run had ended.
    before : str, optional
        The result that was lost.
    """

    envelope: Envelope
    answer: Envelope
    run_id: int
    at: str = "pending"
    reply: str | None = None
    half: bool = False
    half_taken: str | None = None
    result: str | None = None
    tries: int = 0
    owed: bool = False
    dropped: bool = False
    before: str | None = None

    @property
    def message_id(self) -> str:
        return self.envelope.message.metadata.message_id


@dataclass
class Row:
    """A step in the store."""

    run_id: int
    sequence: int
    message: bytes | None
    status: str = "received"
    reply: Value | None = None


class Disk:
    """The node store: what is in it survives a kill."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.runs: set[int] = set()
        self.freed: set[int] = set()
        self.histories: dict[int, list[str]] = {series: [] for series in SERIES.values()}
        self.full = False
        # How many writes from now the SuperNode is killed, and whether before that write.
        self.kill: tuple[int, bool] | None = None

    def _write(self, change: Callable[[], None]) -> None:
        before = False
        if self.kill is not None:
            left, before = self.kill
            self.kill = (left - 1, before)
        killed = self.kill is not None and self.kill[0] < 0
        if killed:
            self.kill = None
            if before:
                raise Killed
        if self.full:
            raise StoreFullError("The disk is full, so nothing was stored.")
        change()
        if killed:
            raise Killed

    def add_run(self, run_id: int) -> None:
        self._write(lambda: self.runs.add(run_id))

    def receive(self, message_id: str, run_id: int, message: Value) -> None:
        known = self.rows.get(message_id)
        if known is not None:
            if known.status == "answered":
                due = replace(known, status="committed", message=bytes(message.header))
                self._write(lambda: self.rows.update({message_id: due}))
            return
        sequence = 1 + max((row.sequence for row in self.rows.values()), default=0)
        row = Row(run_id, sequence, bytes(message.header))
        self._write(lambda: self.rows.update({message_id: row}))

    def steps(self, status: str) -> list[StoredStep]:
        found = [(row.sequence, key) for key, row in self.rows.items() if row.status == status]
        return [StoredStep(key, self.rows[key].run_id, status) for _, key in sorted(found)]

    def step(self, message_id: str) -> StoredStep | None:
        row = self.rows.get(message_id)
        return None if row is None else StoredStep(message_id, row.run_id, row.status)

    def message(self, message_id: str) -> bytes | None:
        row = self.rows.get(message_id)
        return None if row is None else row.message

    def reply(self, message_id: str) -> Value | None:
        row = self.rows.get(message_id)
        return None if row is None else row.reply

    def commit(self, message_id: str, series_id: int, base: int, reply: Value) -> None:
        row = self.rows.get(message_id)
        if row is None:
            raise LookupError(f"The node store has no message '{message_id}'.")
        history = self.histories[series_id]
        promise(row.status == "received", "A step was made a second time after its commit.")
        promise(message_id not in history, "A step was committed twice.")
        promise(base == len(history), "A step was made from a state that had been replaced.")

        def change() -> None:
            history.append(message_id)
            row.status, row.reply = "committed", reply
            answered = [
                other
                for other in self.rows.values()
                if other.run_id == row.run_id and other.status == "answered" and other.reply
            ]
            for old in sorted(answered, key=lambda each: -each.sequence)[REPLIES_KEPT - 1 :]:
                old.reply = None

        self._write(change)

    def answered(self, message_id: str) -> None:
        row = self.rows.get(message_id)
        promise(row is None or row.status != "received", "A failed step was noted as answered.")

        def change() -> None:
            if row is not None:
                row.status, row.message = "answered", None

        self._write(change)

    def free_run(self, run_id: int) -> None:
        """Free a run that has ended, as the retention does; a step of it may be under way."""
        self.freed.add(run_id)
        self.runs.discard(run_id)
        self.rows = {key: row for key, row in self.rows.items() if row.run_id != run_id}

    def committed(self, message_id: str) -> bool:
        """Whether the state that a step made is durable, or was."""
        return any(message_id in history for history in self.histories.values())

    def forget(self, message_id: str) -> None:
        row = self.rows.get(message_id)
        promise(row is None or row.status == "received", "A committed step was forgotten.")
        self._write(lambda: self.rows.pop(message_id, None))


class Jobs:
    """The pool: what was submitted runs when the walker says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.closed = False

    def submit(self, action: Callable[..., None], *arguments: Any) -> None:
        if self.closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.waiting.append((action, arguments))

    def run(self, index: int) -> None:
        action, arguments = self.waiting.pop(index)
        action(*arguments)

    def shutdown(self, **_: Any) -> None:
        self.closed = True
        self.waiting.clear()


@dataclass
class Task:
    """A task that an executor may take, has taken, or that has ended."""

    message_id: str
    series_id: int
    base: int
    open: bool = True


@dataclass
class Memory:
    """The node state of one SuperNode; it is lost with it."""

    store: Disk
    tasks: dict[int, Task] = field(default_factory=dict)
    replies: dict[str, Any] = field(default_factory=dict)
    staged: dict[int, str] = field(default_factory=dict)
    on_tasks_expired: Callable[[list[int]], None] = lambda _: None

    def get_run(self, run_id: int) -> Any:
        known = run_id in self.store.runs
        return SimpleNamespace(run_id=run_id, series_id=SERIES[run_id]) if known else None

    def take_in(self, envelope: Envelope, pull: Callable[[list[str]], Any]) -> None:
        pull(envelope.object_ids)
        metadata = envelope.message.metadata
        self.staged[metadata.run_id] = metadata.message_id

    def create_step_task(self, run: Any) -> int:
        message_id = self.staged.pop(run.run_id)
        rows = self.store.rows
        row = rows.get(message_id)
        promise(row or run.run_id in self.store.freed, "A step was begun that is not durable.")
        promise(not self.store.committed(message_id), "A step was begun again after its commit.")
        busy = [each for each in self.tasks.values() if each.open]
        promise(
            all(each.series_id != run.series_id for each in busy), "Steps of a series overlap."
        )
        earlier = row and [
            each
            for each in rows.values()
            if SERIES[each.run_id] == run.series_id
            and each.status == "received"
            and each.sequence < row.sequence
        ]
        promise(not earlier, "A step was begun before an earlier one of its series.")
        task_id = len(self.tasks) + 1
        base = len(self.store.histories[run.series_id])
        self.tasks[task_id] = Task(message_id, run.series_id, base)
        return task_id

    def complete_task(self, task_id: int) -> None:
        self.tasks[task_id].open = False

    fail_task_details: str = ""

    def fail_task(self, task_id: int, details: str) -> None:
        self.tasks[task_id].open = False
        self.fail_task_details = details

    def reply_to(self, message_id: str) -> Any:
        return self.replies.get(message_id)

    def pushed_reply(self, reply: Any) -> tuple[Envelope, dict[str, bytes]]:
        if not reply.whole:
            raise LookupError("The ClientApp's reply did not arrive as a whole.")
        return reply.envelope, {key: reply.content for key in reply.envelope.object_ids}

    def bare_context(self, series_id: int) -> Any:
        return SimpleNamespace(state={})

    def commit_step(
        self, message_id: str, series_id: int, context: PackedContext, reply: Value
    ) -> None:
        base: Any = context.context.state["base"]
        self.store.commit(message_id, series_id, base, reply)

    def seconds_taken(self, message_id: str) -> float:
        return 0.0

    def forget_step(self, task_id: int | None, message_ids: Sequence[str]) -> None:
        if task_id is not None:
            self.tasks[task_id].open = False
        self.replies = {
            key: reply
            for key, reply in self.replies.items()
            if reply.metadata.message_id not in message_ids
        }


class World:
    """What the steps of one node live in.

    Parameters
    ----------
    choose : callable
        Picks one of several options; everything that is left to chance goes through it.
    """

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.faults = True
        self.disk = Disk()
        self.asked: dict[str, Asked] = {}
        self.ended: set[int] = set()
        # The note that a message may be on its way, which survives a kill.
        self.pulling = False
        self.receiving: str | None = None
        self.nested = False
        self.attempts = 0
        self.seen: list[tuple[Step, int]] = []
        self.steps: Steps | None = None
        self.start()

    # The SuperNode as a process.

    def start(self) -> None:
        """Start a SuperNode, which resumes what the last one left."""
        self.jobs, self.memory = Jobs(), Memory(self.disk)
        self.seen.clear()
        self.receiving = None
        self.steps = Steps(
            self.memory,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            admission=self,  # type: ignore[arg-type]
            concurrency=CONCURRENCY,
            on_change=lambda: None,
            pool=self.jobs,  # type: ignore[arg-type]
            retry_seconds=0.0,
        )
        if self.pulling:
            # It goes offline for a moment, and every ServerApp sends again what it waits for.
            for asked in self.asked.values():
                if asked.at != "absent" and asked.reply is None:
                    asked.at = "pending"
            self.pulling = False
        self._alive(self.steps.resume)

    def _alive(self, action: Callable[..., None], *arguments: Any) -> None:
        """Do something in the SuperNode, which may be killed meanwhile."""
        try:
            action(*arguments)
        except Killed:
            self.die()
            return
        if self.steps is not None and self.steps.failure is not None:
            failure = self.steps.failure
            if not isinstance(failure, Killed):
                raise failure
            self.die()
        self.check_turns()
        self.check_messages()

    def die(self) -> None:
        """Lose everything that is not in the store."""
        self.steps = None
        self.jobs.shutdown()
        self.disk.kill = None

    def kill(self) -> None:
        """Kill the SuperNode at once, or at one of its next writes, before or after it."""
        when = self.choose([None, 0, 0, 1, 2, 4])
        if when is None:
            self.die()
        else:
            self.disk.kill = (when, self.choose([True, False]))

    def shut_down(self) -> None:
        """End the SuperNode in good order."""
        if self.steps is not None:
            self.steps.close()
            self.die()

    def check_turns(self) -> None:
        """Check who has a turn."""
        if self.steps is None:
            return
        begun = [s for s in self.steps._steps.values() if s.phase.stage is not Stage.WAITING]
        series = [step.series_id for step in begun]
        promise(len(series) == len(set(series)), "Two steps of a series are under way.")
        promise(len(series) <= CONCURRENCY, "More steps are under way than may be.")

    def check_messages(self) -> None:
        """Check that a kill at this moment would lose no message."""
        for message_id, asked in self.asked.items():
            if asked.at == "delivered" and not asked.reply and not asked.dropped:
                row = self.disk.rows.get(message_id)
                promise(
                    message_id == self.receiving or (row and row.status != "answered"),
                    "A message was pulled that is neither durable nor answered.",
                )

    # What a ServerApp does.

    def pushable(self) -> list[int]:
        """Return the runs in which a message can be sent."""
        if not self.faults:
            return []
        return [
            run_id
            for run_id in SERIES
            if run_id not in self.ended
            and self._count(run_id) < MESSAGES_OF_A_RUN
            and sum(a.run_id == run_id and not a.result for a in self.asked.values())
            < OUTSTANDING
        ]

    def _count(self, run_id: int) -> int:
        return sum(each.run_id == run_id for each in self.asked.values())

    def push(self, run_id: int) -> None:
        """Send the next message of a run."""
        envelope, answer = MESSAGES[run_id][self._count(run_id)]
        asked = Asked(envelope, answer, run_id)
        self.asked[asked.message_id] = asked

    def replied(self) -> list[Asked]:
        """Return the messages to which the SuperLink has a reply."""
        return [each for each in self.asked.values() if each.reply is not None]

    def take(self, asked: Asked) -> None:
        """Take a reply; an error may be answered by sending the message again."""
        reply, asked.reply, asked.at = asked.reply, None, "absent"
        if asked.half:
            asked.half, asked.half_taken = False, reply
        else:
            self._got(asked, reply)

    def _got(self, asked: Asked, reply: str | None) -> None:
        crashed = reply == f"error {ErrorCode.CLIENT_APP_CRASHED.value}"
        if crashed and asked.tries < TRIES_OF_A_CRASH and asked.run_id not in self.ended:
            asked.tries += 1
            asked.owed = True
        else:
            asked.result = reply
            committed = asked.before is not None and asked.before.startswith("attempt")
            promise(
                not committed or reply in (asked.before, f"error {ErrorCode.UNKNOWN.value}"),
                "A step that was committed was answered with something else.",
            )

    def lost(self) -> list[Asked]:
        """Return the messages for which the node may be called unavailable."""
        if not self.faults:
            return []
        return [a for a in self.asked.values() if a.at != "absent" and a.reply is None]

    def lose(self, asked: Asked) -> None:
        """Call the node unavailable: the ServerApp will send the message again."""
        asked.at, asked.owed = "absent", True

    def owed(self) -> list[Asked]:
        """Return the messages that a ServerApp sends again."""
        return [each for each in self.asked.values() if each.owed]

    def resend(self, asked: Asked) -> None:
        """Send a message again."""
        asked.at, asked.owed = "pending", False

    def ask_again(self, asked: Asked) -> None:
        """Send a message again whose result was lost with the ServerApp or the SuperLink."""
        asked.before, asked.result, asked.owed = asked.result, None, True

    def end_run(self, run_id: int) -> None:
        """End a run, whatever is under way."""
        self.ended.add(run_id)
        for asked in self.asked.values():
            if asked.run_id == run_id and asked.result is None:
                asked.result, asked.at, asked.owed = "ended", "absent", False
                asked.reply, asked.half_taken = None, None

    # What a ClientApp does.

    def tasks(self) -> list[int]:
        """Return the tasks that have not ended."""
        if self.steps is None:
            return []
        return [key for key, task in self.memory.tasks.items() if task.open]

    def work(self, task_id: int) -> None:
        """End a task in one of many ways."""
        if self.steps is None or (step := self.steps.of_task(task_id)) is None:
            return
        self.seen.append((step, task_id))
        how = self.choose(
            ["ok", "ok", "ok", "ok", "error", "half", "silent", "failed", "expired"]
            if self.faults
            else ["ok"]
        )
        self._finish(step, task_id, how)

    def work_late(self) -> None:
        """Hear once more of a task that may have ended long ago."""
        if self.seen and self.steps is not None:
            step, task_id = self.choose(self.seen)
            how = self.choose(["again", "failed", "expired"])
            if how == "again" and self.memory.replies.get(step.message_id) is None:
                how = "failed"
            self._finish(step, task_id, how)

    def _finish(self, step: Step, task_id: int, how: str) -> None:
        assert self.steps is not None
        task = self.memory.tasks[task_id]
        if how == "expired":
            task.open = False
            self._alive(self.memory.on_tasks_expired, [task_id])
            return
        if how == "failed":
            self._alive(self.steps.fail, step, "The ClientApp vanished.")
            return
        if how in ("ok", "half", "error"):
            self.attempts += 1
            asked = self.asked[step.message_id]
            error = Error(ErrorCode.CLIENT_APP_RAISED, "raised") if how == "error" else None
            self.memory.replies[step.message_id] = SimpleNamespace(
                metadata=asked.answer.message.metadata,
                has_error=lambda: error is not None,
                error=error,
                whole=how == "ok",
                envelope=asked.answer,
                content=f"attempt {self.attempts}".encode(),
            )
        left: Any = SimpleNamespace(state={"base": task.base})
        self._alive(self.steps.complete, step, PackedContext(left, Parts(b"", [])))

    # What the SuperNode does: pull, and what its pool has to do.

    def pending(self) -> list[Asked]:
        """Return the messages that can be pulled."""
        if self.steps is None or self.receiving is not None:
            return []
        return [a for a in self.asked.values() if a.at == "pending" and a.reply is None]

    def pull(self, asked: Asked) -> None:
        """Pull a message."""
        assert self.steps is not None
        self.pulling, asked.at = True, "delivered"
        self.receiving = asked.message_id
        self._alive_or_nested(self.steps.receive, asked.envelope)
        if self.steps is not None:
            self.pulling, self.receiving = False, None

    def _alive_or_nested(self, action: Callable[..., None], *arguments: Any) -> None:
        if self.nested:
            action(*arguments)  # a kill ends what is around this, too
        else:
            self._alive(action, *arguments)

    def run_job(self, index: int) -> None:
        """Let the pool do one of its jobs."""
        self._alive(self.jobs.run, index)

    # Admission: whether the node takes in a run.

    def problem_with(self, run_id: int) -> Error | None:
        if run_id in self.disk.runs:
            return None
        self._talk(run_id)
        if self.faults and self.choose([False] * 5 + [True]):
            return Error(ErrorCode.INVALID_FAB, "The FAB could not be verified.")
        try:
            self.disk.add_run(run_id)
        except StoreFullError as error:
            return Error(ErrorCode.UNKNOWN, str(error))
        return None

    # The SuperLink, as the steps see it.

    def _talk(self, run_id: int, asked: Asked | None = None) -> None:
        if run_id in self.ended:
            raise RunEndedError("The run has ended.")
        if self.faults and self.choose([False] * 40 + [True]):
            # The SuperLink is mistaken, or the node is out of the run's federation for a while.
            for each in self.asked.values():
                each.dropped = each.dropped or each.run_id == run_id
            raise RunEndedError("The run has ended.")

    def meanwhile(self) -> None:
        """Let others do something while a request is on its way."""
        if self.nested or not self.faults:
            return
        self.nested = True
        try:
            for _ in range(self.choose([0, 0, 0, 1, 2])):
                options: list[tuple[Callable[..., None], Any]] = [
                    *((self.take, each) for each in self.replied()),
                    *((self.lose, each) for each in self.lost()),
                    *((self.resend, each) for each in self.owed()),
                    *((self.pull, each) for each in self.pending()),
                    *((self.push, run_id) for run_id in self.pushable()),
                ]
                if options:
                    action, argument = self.choose(options)
                    action(argument)
        finally:
            self.nested = False

    def pull_objects(self, run_id: int, object_ids: list[str]) -> dict[str, bytes]:
        self.meanwhile()
        self._talk(run_id)
        fault = self.choose(["", "", "", "", "broken", "gone", "refused"]) if self.faults else ""
        if fault == "broken":
            raise UnreachableError("The SuperLink cannot be reached.", sent=False)
        if fault == "gone":
            raise MessageUnavailableError("An object is gone.")
        if fault == "refused":
            raise RefusedError("The SuperLink refused.", 400)
        return {}

    def send(
        self,
        envelope: Envelope,
        objects: dict[str, bytes],
        seconds: float,
        *,
        again: bool,
        confirm: bool,
    ) -> bool:
        message_id = envelope.message.metadata.reply_to_message_id
        reply = self._leaving(message_id, envelope, objects, confirm=confirm)
        asked = self.asked[message_id]
        self.meanwhile()
        self._talk(asked.run_id, asked)
        kinds = ["", "", "", "", "", "broken before", "broken after", "busy", "half"]
        fault = self.choose(kinds) if self.faults else ""
        if fault == "broken before":
            raise UnreachableError("The SuperLink cannot be reached.", sent=False)
        if fault == "busy":
            raise RefusedError("The SuperLink refused (database is locked).", 500)
        wanted = asked.at != "absent"
        if fault == "half" and envelope.message.has_error():
            raise ReplyIncompleteError("An object was not stored.")  # its only one
        if wanted:
            asked.reply, asked.half = reply, fault == "half"
        elif asked.half_taken is not None and again:
            # The ServerApp has taken the reply, and waits for its objects.
            taken, asked.half_taken = asked.half_taken, None
            promise(taken == reply, "Another reply was sent than the one that was half sent.")
            self._got(asked, reply)
        self.meanwhile()
        if fault == "broken after":
            raise UnreachableError("The SuperLink cannot be reached.", sent=True)
        if fault == "half" and wanted:
            raise ReplyIncompleteError("An object was not stored.")
        if not wanted and self.choose([True, False]):
            raise RefusedError("The SuperLink refused (no such message).", 404)
        return bool(confirm and not again and self.choose([True, False]))

    def _leaving(
        self, message_id: str, envelope: Envelope, objects: dict[str, bytes], *, confirm: bool
    ) -> str:
        """Check a reply that leaves the node; return what it is."""
        row = self.disk.rows.get(message_id)
        durable = self.disk.committed(message_id)
        freed = self.asked[message_id].run_id in self.disk.freed
        if not envelope.message.has_error():
            promise(durable, "A reply left before its state was durable.")
            kept = None if row is None else row.reply
            content = next(iter(objects.values()))
            promise(
                kept is None or content in bytes(kept.header),
                "The reply is not that of the commit.",
            )
            return content.decode()
        error = envelope.message.error
        gone = durable and "not kept" in (error.reason or "")
        promise(not durable or gone or freed, "An error was sent for a step that is committed.")
        promise(durable or not confirm, "The message of a step that failed was confirmed.")
        promise(
            row is not None or freed or self.receiving == message_id,
            "An error was sent for a message that the store does not have.",
        )
        return f"error {error.code}"

    def confirm(self, run_id: int, message_id: str) -> None:
        promise(self.disk.committed(message_id), "A message was confirmed before its commit.")
        self.meanwhile()
        self._talk(run_id)
        fault = self.choose(["", "", "broken", "refused"]) if self.faults else ""
        if fault == "broken":
            raise UnreachableError("The SuperLink cannot be reached.", sent=True)
        if fault == "refused":
            raise RefusedError("The SuperLink refused.", 400)

    # What may happen next, by who does it.

    def serverapp(self) -> list[Callable[[], None]]:
        """What ServerApps may do: send a message, once or again, or take a reply."""
        pushes = [partial(self.push, run_id) for run_id in self.pushable()]
        resends = [partial(self.resend, each) for each in self.owed()]
        return pushes + resends + [partial(self.take, each) for each in self.replied()]

    def superlink(self) -> list[Callable[[], None]]:
        """What the SuperLink may do: call the node unavailable, or lose what it has answered."""
        forgotten = [a for a in self.asked.values() if a.result and a.run_id not in self.ended]
        return [partial(self.lose, each) for each in self.lost()] + [
            partial(self.ask_again, each) for each in forgotten if self.faults
        ]

    def supernode(self) -> list[Callable[[], None]]:
        """What the SuperNode may do: pull a message, or start after its end."""
        if self.steps is None:
            return [self.start]
        return [partial(self.pull, each) for each in self.pending()]

    def pool(self) -> list[Callable[[], None]]:
        """What the SuperNode's pool may do: any of its jobs."""
        if self.steps is None:
            return []
        return [partial(self.run_job, index) for index in range(len(self.jobs.waiting))]

    def clientapp(self) -> list[Callable[[], None]]:
        """What ClientApps may do: end, in time or late."""
        late = [self.work_late] if self.seen and self.steps is not None else []
        return [partial(self.work, task_id) for task_id in self.tasks()] + late

    def disaster(self) -> list[Callable[[], None]]:
        """What may go wrong: the disk is full or has room again, the SuperNode ends, a run ends."""
        fill = [self.toggle_disk]
        ends = [self.kill, self.shut_down] if self.steps is not None else []
        runs = [partial(self.end_run, run_id) for run_id in SERIES if run_id not in self.ended]
        free = [partial(self.disk.free_run, run_id) for run_id in self.ended]
        return [*fill, *ends, *runs, *free]

    def toggle_disk(self) -> None:
        """Fill the disk, or make room on it."""
        self.disk.full = not self.disk.full

    # The end.

    def drain(self) -> None:
        """Stop all faults, let everything go on, and check that nothing is left waiting."""
        self.faults, self.disk.full, self.disk.kill = False, False, None
        for _ in range(2000):
            if self.steps is None:
                self.start()
            elif self.jobs.waiting:
                self.run_job(self.choose(range(len(self.jobs.waiting))))
            elif tasks := self.tasks():
                self.work(self.choose(tasks))
            elif pending := self.pending():
                self.pull(pending[0])
            elif replied := self.replied():
                self.take(replied[0])
            elif owed := self.owed():
                self.resend(owed[0])
            elif dropped := [
                each for each in self.asked.values() if each.dropped and not each.result
            ]:
                # The node was out of the run's federation, which the ServerApp has seen.
                for asked in dropped:
                    self.resend(asked)
                    asked.half_taken, asked.dropped = None, False
            else:
                break
        else:
            raise Broken("The node never comes to rest.")
        self._check_the_end()

    def _check_the_end(self) -> None:
        assert self.steps is not None
        promise(not self.steps.under_way, "A step is left waiting.")
        for asked in self.asked.values():
            promise(asked.result, "A message is never answered.")
        for message_id, row in self.disk.rows.items():
            promise(row.status == "answered", f"A step is left as {row.status}: {message_id}.")
        committed = {
            key
            for history in self.disk.histories.values()
            for key in history
            if self.asked[key].run_id not in self.disk.freed
        }
        promise(committed == set(self.disk.rows), "The store does not know what it committed.")
        promise(not self.tasks(), "A task is left.")
        promise(not self.memory.replies, "The reply of a step is left in memory.")
