"""What a SuperNode's steps work with, as models: the store, the node state, and the pool."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from fedstate.flower.stored_values import Envelope
from fedstate.large.context import SplitContext
from fedstate.store.errors import StoreFullError
from fedstate.store.logged_store import Failure
from fedstate.store.node_store import Commit, StoredStep
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value
from fedstate.witness.receipts import Receipt

# Runs 1 and 2 are of one series.
SERIES = {1: 7, 2: 7, 3: 8, 4: 9}
# Fewer than a store keeps, so that a reply is often gone when it is asked for.
REPLIES_KEPT = 1


class BrokenError(AssertionError):
    """A promise was broken."""


class Killed(BaseException):
    """The SuperNode was killed."""


def promise(condition: object, sentence: str) -> None:
    """Raise `BrokenError` unless the condition holds."""
    if not condition:
        raise BrokenError(sentence)


@dataclass
class Row:
    """A step in the store."""

    run_id: int
    sequence: int
    message: bytes | None
    status: str = "received"
    reply: Value | None = None


@dataclass
class Logged:
    """A row of the log."""

    message_id: str
    run_id: int
    committed: bool
    signed: bool = False

    @property
    def receipt(self) -> Receipt:
        outcome = "committed" if self.committed else "failed"
        return Receipt(f"{self.message_id} {outcome}".encode(), b"noted" if self.signed else b"")


class Said:
    """What is said of a full disk, which nobody here reads."""

    def say(self, error: StoreFullError, run_id: int | None = None) -> None:
        """Say nothing."""


class Disk:
    """The node store: what is in it survives a kill."""

    def __init__(self) -> None:
        self.room = Said()
        self.rows: dict[str, Row] = {}
        self.log: list[Logged] = []
        # The steps for whose failure there was no room at first.
        self.unrecorded: set[str] = set()
        self.runs: set[int] = set()
        self.freed: set[int] = set()
        self.histories: dict[int, list[str]] = {series: [] for series in SERIES.values()}
        self.full = False
        # How many writes from now the SuperNode is killed, and whether before that write.
        self.kill: tuple[int, bool] | None = None

    def _write(self, change: Callable[[], object]) -> None:
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

    def receipt(self, message_id: str) -> Receipt | None:
        found = [each for each in self.log if each.message_id == message_id]
        return found[-1].receipt if found else None

    def record_failure(self, message_id: str, failure: Failure) -> None:
        try:
            self._write(lambda: self._fail(message_id, failure))
        except StoreFullError:
            self.unrecorded.add(message_id)
            raise

    def _fail(self, message_id: str, failure: Failure) -> None:
        promise(not self.committed(message_id), "A step that is committed was logged as failed.")
        self.log.append(Logged(message_id, failure.run_id, committed=False))

    def _sign(self, message_id: str, signature: bytes) -> None:
        for each in self.log:
            if each.message_id == message_id and signature:
                each.signed = True

    def failures(self, message_id: str) -> int:
        """Return how many rows the log has of failed attempts at a step."""
        return sum(each.message_id == message_id and not each.committed for each in self.log)

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
            self.log.append(Logged(message_id, row.run_id, committed=True))
            answered = [
                other
                for other in self.rows.values()
                if other.run_id == row.run_id and other.status == "answered" and other.reply
            ]
            for old in sorted(answered, key=lambda each: -each.sequence)[REPLIES_KEPT - 1 :]:
                old.reply = None

        self._write(change)

    def answered(self, message_id: str, signature: bytes = b"") -> None:
        row = self.rows.get(message_id)
        promise(row is None or row.status != "received", "A failed step was noted as answered.")

        def change() -> None:
            if row is not None:
                row.status, row.message = "answered", None
            self._sign(message_id, signature)

        self._write(change)

    def free_run(self, run_id: int) -> None:
        """Free a run that has ended, as the retention does; a step of it may be under way."""
        self.freed.add(run_id)
        self.runs.discard(run_id)
        self.rows = {key: row for key, row in self.rows.items() if row.run_id != run_id}
        self.log = [each for each in self.log if each.run_id != run_id]

    def committed(self, message_id: str) -> bool:
        """Whether the state that a step made is durable, or was."""
        return any(message_id in history for history in self.histories.values())

    def forget(
        self, message_id: str, signature: bytes = b"", failure: Failure | None = None
    ) -> None:
        row = self.rows.get(message_id)
        promise(row is None or row.status == "received", "A committed step was forgotten.")
        promise(
            failure or self.failures(message_id) or (row and row.run_id in self.freed) or not row,
            "A step was forgotten without a row in the log.",
        )

        def change() -> None:
            self.rows.pop(message_id, None)
            if failure is not None:
                self._fail(message_id, failure)
            self._sign(message_id, signature)

        self._write(change)


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
    # The runs of which this SuperNode has been told that they have ended.
    told: set[int] = field(default_factory=set)
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
        promise(run.run_id not in self.told, "A step was begun whose run has ended.")
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
            and each.run_id not in self.told
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

    def stop_task(self, task_id: int, _: str) -> None:
        self.tasks[task_id].open = False

    def reply_to(self, message_id: str) -> Any:
        return self.replies.get(message_id)

    def pushed_reply(self, reply: Any) -> tuple[Envelope, dict[str, bytes]]:
        if not reply.whole:
            raise LookupError("The ClientApp's reply did not arrive as a whole.")
        return reply.envelope, dict.fromkeys(reply.envelope.object_ids, reply.content)

    def bare_context(self, _: int) -> Any:
        return SimpleNamespace(state={})

    def get_node_id(self) -> int:
        return 1

    def commit_step(
        self,
        message_id: str,
        series_id: int,
        context: SplitContext,
        reply: Value,
        _: Attempt,
    ) -> Commit:
        base: Any = context.context.state["base"]
        self.store.commit(message_id, series_id, base, reply)
        return Commit(1, b"", 0, 0)

    def seconds_taken(self, _: str) -> float:
        return 0.0

    def forget_step(self, task_id: int | None, message_ids: Sequence[str]) -> None:
        if task_id is not None:
            self.tasks[task_id].open = False
        self.replies = {
            key: reply
            for key, reply in self.replies.items()
            if reply.metadata.message_id not in message_ids
        }
