"""The steps of a SuperNode: from a message that was pulled to a reply that was sent.

What comes after what is decided by `machine.py`, and whose turn it is by `turns.py`. Here the
machine is told what happens, and what it commands is done, most of it by `actions.py`.

Guarantees, whatever thread calls:

- What happens to one step happens one after the other: `Step.lock` is held while the machine
  advances *and* while what it commands in the store is done. A message that is sent again finds
  its step before or after such a write: while it is being forgotten it cannot be lost.
- What may take long (the SuperLink, a pause) runs on the pool, without any lock.
- `Steps._lock` guards the registry of steps, the turns, and the steps' task IDs.
- The order of locks is `Step.lock`, `Steps._lock`, then those of the node state and the store.
  `on_tasks_expired` is called on a thread that may hold a `Step.lock`, so it only uses the pool.
- `receive`, `resume` and `before_reply` are called by the thread that pulls messages, `end_run`
  also by that of the maintenance, `complete` and `fail` by those of the Runtime API.
- An error without an event in the machine ends the SuperNode; the next one resumes.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from flwr.app import Error

from fedstate.failpoints import reach
from fedstate.flower.errors import ErrorCode, RunEndedError
from fedstate.flower.nodestate import DurableNodeState
from fedstate.flower.stored_values import Envelope
from fedstate.large.context import SplitContext
from fedstate.logs import labelled, logger
from fedstate.store.errors import StoreError, StoreFullError
from fedstate.store.values import Value
from fedstate.supernode.actions import Actions, Outcome
from fedstate.supernode.admission import Admission
from fedstate.supernode.link import Link
from fedstate.supernode.machine import BEFORE_REPLY, WAITING, Command, Event, Stage, advance
from fedstate.supernode.runs import Runs
from fedstate.supernode.step import Step
from fedstate.supernode.turns import Turns

RETRY_SECONDS = 2.0


class Steps:
    """Start steps, commit what they made, and send their replies.

    Parameters
    ----------
    state : DurableNodeState
        The node state, which the Runtime API serves to executors.
    link : Link
        The node's runs and messages at the SuperLink.
    admission : Admission
        What takes in new runs.
    concurrency : int
        How many steps may be under way at once.
    on_change : callable
        Is called when a step has ended.
    pool : Executor, optional
        Runs what may take long; without it, threads, one more than `concurrency`.
    retry_seconds : float
        The pause before something is tried again.
    runs : Runs, optional
        Which runs go on, as the attribute says; without it, none is known yet.

    Attributes
    ----------
    runs : Runs
        Which runs go on.
    late_rows : LateRows
        Rows for which there was no room.
    failure : BaseException, optional
        What ends the SuperNode.
    on_task : callable
        Is called when there is a task to be taken.
    on_end : callable
        Is called when a run has ended, or a task whose ClientApp has not.
    """

    def __init__(
        self,
        state: DurableNodeState,
        link: Link,
        *,
        admission: Admission,
        concurrency: int,
        on_change: Callable[[], None],
        pool: Executor | None = None,
        retry_seconds: float = RETRY_SECONDS,
        runs: Runs | None = None,
    ) -> None:
        self._state = state
        self._admission = admission
        self._on_change = on_change
        self._pool = pool or ThreadPoolExecutor(concurrency + 1, "step")
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._steps: dict[str, Step] = {}
        self._turns = Turns[Step](concurrency)
        self._closed = threading.Event()
        self.failure: BaseException | None = None
        self.on_task: Callable[[], None] = lambda: None
        state.on_tasks_expired = self._on_tasks_expired
        self.on_end: Callable[[], None] = lambda: None
        self.runs = Runs() if runs is None else runs
        self._actions = actions = Actions(state, link, self.runs, admission.problem_now)
        self.late_rows, admission.on_row = actions.late_rows, actions.late_rows.written
        self._quick: dict[Command, Callable[[Step, Any], Outcome | None]] = {
            Command.QUEUE: self._queue,
            Command.LOOK_UP: actions.look_up,
            Command.CREATE_TASK: self._create_task,
            Command.COMMIT: actions.commit,
            Command.COMPLETE_TASK: actions.complete_task,
            Command.FAIL_TASK: actions.fail_task,
            Command.STOP_TASK: self._stop_task,
            Command.RECORD: actions.record,
            Command.WRITE_ERROR: actions.write_error,
            Command.NOTE_ANSWERED: actions.note_answered,
            Command.FORGET: actions.forget,
            Command.RELEASE: self._release,
            Command.QUEUE_AGAIN: self._queue_again,
        }
        self._slow: dict[Command, Callable[[Step], Outcome]] = {
            Command.PULL: actions.pull,
            Command.SEND: actions.send,
            Command.SEND_AGAIN: actions.send_again,
            Command.CONFIRM: actions.confirm,
            Command.PAUSE: self._pause,
        }

    @property
    def under_way(self) -> bool:
        """Whether any step is running or waiting."""
        with self._lock:
            return bool(self._steps)

    def running(self, run_id: int) -> bool:
        """Whether a step of this run is running or waiting."""
        with self._lock:
            return any(step.run_id == run_id for step in self._steps.values())

    def before_reply(self) -> list[str]:
        """Return the messages that are here and of which no reply has been sent yet."""
        with self._lock:
            steps = list(self._steps.values())
        return [step.message_id for step in steps if step.phase.stage in BEFORE_REPLY]

    def of_task(self, task_id: int) -> Step | None:
        """Return the step that a task belongs to, or None."""
        with self._lock:
            return next((s for s in self._steps.values() if s.task_id == task_id), None)

    def resume(self) -> None:
        """Take up the steps that the last SuperNode left: replies to send, steps to run."""
        store = self._state.store
        for stored in [*store.steps("committed"), *store.steps("received")]:
            header = store.message(stored.message_id)
            if header is not None:
                logger.info("Resuming %s step %s.", stored.status, stored.message_id)
                run = self._state.get_run(stored.run_id)
                self._happen(Step(Envelope.from_bytes(header), run), Event.STORED)

    def receive(self, envelope: Envelope) -> None:
        """Make a pulled message durable and queue its step, or refuse and answer it.

        Raises
        ------
        UnauthorizedError
            The SuperLink does not accept the node's key any longer.
        StoreError
            The store cannot be used.
        """
        step = Step(envelope)
        with step.labelled():
            logger.info("Received: %s message", envelope.message.metadata.message_type)
            while (known := self._known(step.message_id)) is not None:
                if self._sent_again(known):
                    return
            outcome = self._accept(step)
            while commands := self._feed(step, *outcome):
                outcome = self._slow[commands[0]](step)

    def complete(self, step: Step, left: SplitContext) -> None:
        """Commit what a step made, and have its reply sent; a step without a reply has failed.

        When this returns, that is durable. Of the Context only the state is taken: an app has no
        say in whose it is.
        """
        reply = self._state.reply_to(step.message_id)
        if reply is None:
            reason = "The ClientApp ended without a reply. The state before this step stays."
            self._happen(step, Event.FAILED, Error(ErrorCode.CLIENT_APP_CRASHED, reason))
        elif reply.has_error():
            self._happen(step, Event.FAILED, reply.error)
        else:
            self._happen(step, Event.OUTPUT, (reply, left))

    def fail(self, step: Step, details: str) -> None:
        """End a step that failed: nothing of it is stored, and its reply is an error."""
        pushed = self._state.reply_to(step.message_id)
        error = Error(ErrorCode.CLIENT_APP_CRASHED, details)
        self._happen(step, Event.FAILED, pushed.error if pushed and pushed.has_error() else error)

    def end_run(self, run_id: int) -> None:
        """Drop the steps of a run that has ended; those that send or pull hear it themselves."""
        if not self.runs.end(run_id):
            return
        with labelled(run=run_id):
            logger.info("Run %s has ended.", run_id)
        with self._lock:
            steps = [step for step in self._steps.values() if step.run_id == run_id]
            waiting = [step for step in steps if self._turns.skip(step.series_id, step)]
        for step in waiting:
            self._happen(step, Event.RUN_ENDED)
        for step in steps:
            self._end_work(step)
        self.on_end()

    def _end_work(self, step: Step) -> None:
        with step.labelled(), step.lock:
            running = step.phase.stage is Stage.RUNNING
            slow = self._feed_locked(step, Event.RUN_ENDED, None) if running else []
        for command in slow:
            self._submit(self._perform, step, command)

    def close(self) -> None:
        """Start nothing more; what is under way is taken up by the next SuperNode."""
        with self._lock:
            self._turns.close()
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def critical(self) -> Iterator[None]:
        """Run a block in which a failure of the store ends the SuperNode."""
        try:
            yield
        except StoreError as error:
            self._end(error)
            raise

    # How the machine is run.

    def _happen(self, step: Step, event: Event, given: Any = None) -> None:
        """Tell the machine of an event, and have the pool do what takes long."""
        for command in self._feed(step, event, given):
            self._submit(self._perform, step, command)

    def _perform(self, step: Step, command: Command) -> None:
        with step.labelled():
            self._happen(step, *self._slow[command](step))

    def _feed(self, step: Step, event: Event, given: Any) -> list[Command]:
        """Tell the machine of an event; return the commands that take long."""
        with step.labelled(), step.lock:
            return self._feed_locked(step, event, given)

    def _feed_locked(self, step: Step, event: Event, given: Any) -> list[Command]:
        slow: list[Command] = []
        outcomes: list[Outcome] = [(event, given)]
        while outcomes:
            event, given = outcomes.pop(0)
            step.phase, commands = advance(step.phase, event)
            for command in commands:
                if command in self._slow:
                    slow.append(command)
                elif (outcome := self._quick[command](step, given)) is not None:
                    outcomes.append(outcome)
        return slow

    def _submit(self, action: Callable[..., None], *arguments: object) -> None:
        if self._closed.is_set():
            return
        try:
            self._pool.submit(self._guarded, action, *arguments)
        except RuntimeError:  # it was closed in between
            if not self._closed.is_set():
                raise

    def _guarded(self, action: Callable[..., None], *arguments: object) -> None:
        try:
            action(*arguments)
        except BaseException as error:
            self._end(error)

    def _end(self, error: BaseException) -> None:
        self.failure = error
        self._on_change()

    # A message arrives, and waits for its turn.

    def _known(self, message_id: str) -> Step | None:
        with self._lock:
            return self._steps.get(message_id)

    def _sent_again(self, step: Step) -> bool:
        """Tell a step that its message came again; return False if it has just ended."""
        with step.lock:
            if step.phase.stage is Stage.OVER:
                return False
            self._feed_locked(step, Event.RESENT, None)
            return True

    def _accept(self, step: Step) -> Outcome:
        """Make a message durable, or say why it cannot be accepted."""
        store = self._state.store
        try:
            problem = self._admission.problem_with(step.run_id)
            if problem is None:
                step.run = self._state.get_run(step.run_id)
                store.receive(step.message_id, step.run_id, Value(step.envelope.to_bytes()))
        except RunEndedError:
            logger.info("Run %s has ended; its message is ignored.", step.run_id)
            return Event.RUN_ENDED, None
        except StoreFullError as error:
            known = self._actions.look_up(step, None)
            if known[0] is not Event.MISSING:
                return known
            store.room.say(error, step.run_id)
            return Event.REFUSED, Error(ErrorCode.UNKNOWN, str(error))
        if problem is None and step.run is None:
            problem = Error(ErrorCode.UNKNOWN, f"Run {step.run_id} was removed from this node.")
        if problem is not None:
            logger.error("Message %s is refused: %s", step.message_id, problem.reason)
            return Event.REFUSED, problem
        self.runs.begin(step.run_id)
        reach("message-stored")
        return Event.STORED, None

    def _queue(self, step: Step, _: object) -> None:
        with self._lock:
            self._steps[step.message_id] = step
            self._turns.wait(step.series_id, step)
        self._give_turns()

    def _give_turns(self) -> None:
        with self._lock:
            given = self._turns.give()
        for step in given:
            self._submit(self._happen, step, Event.TURN)

    # A ClientApp works on it.

    def _create_task(self, step: Step, _: object) -> Outcome | None:
        # `end_run` says first that a run has ended, and then looks for its steps with a task.
        if self.runs.has_ended(step.run_id):
            return Event.RUN_ENDED, None
        # An executor may take it before its ID is known here: `of_task` has to wait for that.
        with self._lock:
            if step.run is None:
                raise LookupError(f"Run {step.run_id} is not known on this node.")
            step.task_id = self._state.create_step_task(step.run)
        self.on_task()
        reach("task-created")
        return None

    def _stop_task(self, step: Step, _: object) -> None:
        self._actions.stop_task(step, None)
        self.on_end()

    def _on_tasks_expired(self, task_ids: list[int]) -> None:
        for task_id in task_ids:
            # Not here: the caller may hold the lock of this step.
            self._submit(self._expire, task_id)
        self.on_end()

    def _expire(self, task_id: int) -> None:
        if step := self.of_task(task_id):
            self.fail(step, "ClientApp stopped responding.")

    def _pause(self, _: Step) -> Outcome:
        self._closed.wait(self._retry_seconds)
        return Event.PAUSED, None

    # The turn is over.

    def _release(self, step: Step, _: object) -> None:
        self._end_turn(step, None)

    def _queue_again(self, step: Step, _: object) -> None:
        self._end_turn(step, Step(step.envelope, step.run, WAITING))

    def _end_turn(self, step: Step, following: Step | None) -> None:
        pushed = self._state.reply_to(step.message_id)
        replies = [step.reply[0].message] if step.reply else []
        replies += [pushed] if pushed else []
        ids = [step.message_id, *(reply.metadata.message_id for reply in replies)]
        self._state.forget_step(step.task_id, ids)
        with self._lock:
            self._turns.end(step.series_id, step)
            if following is None:
                del self._steps[step.message_id]
            else:
                self._steps[step.message_id] = following
                self._turns.wait(step.series_id, following, first=True)
        self._give_turns()
        self._on_change()
