"""What the machine commands of a step that needs the store, the SuperLink or a ClientApp's task.

Every action does one thing and says as an event how it went. `steps.py` says which of them are
called with the step's lock held. An error for which there is no event is raised.
"""

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

from flwr.app import Context, Error, Message, RecordDict

from fedstate.failpoints import reach
from fedstate.flower.errors import (
    ErrorCode,
    KeyReplacedError,
    MessageUnavailableError,
    RefusedError,
    ReplyIncompleteError,
    RunEndedError,
    UnauthorizedError,
    UnreachableError,
)
from fedstate.flower.nodestate import DurableNodeState
from fedstate.flower.stored_values import decode_reply, encode_reply, error_reply
from fedstate.large.context import SplitContext
from fedstate.logs import logger
from fedstate.store.errors import StoreFullError
from fedstate.store.logged_store import Failure
from fedstate.store.step_log import Attempt
from fedstate.supernode.late_rows import LateRows
from fedstate.supernode.link import Link
from fedstate.supernode.machine import Event, Stage
from fedstate.supernode.runs import Runs
from fedstate.supernode.step import Step
from fedstate.witness.receipts import Receipt

_RUN_ENDED = "The run has ended."

# An event, and what comes with it: the Error, or what a ClientApp left.
Outcome = tuple[Event, Any]


class Actions:
    """What can be done for a step.

    Parameters
    ----------
    state : DurableNodeState
        The node state.
    link : Link
        The node's runs and messages at the SuperLink.
    runs : Runs
        Which runs go on.
    run_problem : callable
        Says why a run that the store has must not go on, or None if it may.

    Attributes
    ----------
    late_rows : LateRows
        What could not be logged, or whose receipt was not sent.
    """

    def __init__(
        self,
        state: DurableNodeState,
        link: Link,
        runs: Runs,
        run_problem: Callable[[int], Error | None] = lambda _: None,
    ) -> None:
        self._state = state
        self._link = link
        self._runs = runs
        self._run_problem = run_problem
        self.late_rows = LateRows(state.store, link)

    def look_up(self, step: Step, _: object) -> Outcome:
        """Ask the store how far the step had come."""
        stored = self._state.store.step(step.message_id)
        if stored is None:
            reason = "The message is not in the node store any longer."
            return Event.MISSING, Error(ErrorCode.MESSAGE_UNAVAILABLE, reason)
        if stored.status == "received":
            if self._runs.has_ended(step.run_id):
                return self._run_ended(step)
            # It may have waited long, or for the next SuperNode.
            if (problem := self._run_problem(step.run_id)) is not None:
                logger.error("Message %s is refused: %s", step.message_id, problem.reason)
                return Event.REFUSED, problem
            return Event.FRESH, None
        step.logged = True
        value = self._state.store.reply(step.message_id)
        if value is None:
            reason = "The step was committed, and its reply is not kept any longer."
            return Event.REPLY_GONE, Error(ErrorCode.UNKNOWN, reason)
        logger.info("Step %s is committed: its stored reply is sent.", step.message_id)
        step.reply = decode_reply(value)
        return Event.REPLY_STORED, None

    # A ClientApp works on it.

    def pull(self, step: Step) -> Outcome:
        """Pull the message's objects and put them where a ClientApp pulls them."""

        def pull(object_ids: Sequence[str]) -> dict[str, bytes]:
            return self._link.pull_objects(step.run_id, list(object_ids))

        try:
            self._state.take_in(step.envelope, pull)
        except UnreachableError as error:
            logger.warning("%s Trying again.", error)
            return Event.UNREACHABLE, None
        except RunEndedError:
            return self._run_ended(step)
        except UnauthorizedError:
            raise
        except (MessageUnavailableError, RefusedError) as error:
            if isinstance(error, RefusedError) and error.is_server_error:
                logger.warning("%s Trying again.", error)
                return Event.UNREACHABLE, None
            logger.warning("Message %s cannot be pulled: %s", step.message_id, error)
            return Event.UNAVAILABLE, Error(ErrorCode.MESSAGE_UNAVAILABLE, str(error))
        return Event.PULLED, None

    def commit(self, step: Step, given: tuple[Message, SplitContext]) -> Outcome:
        """Make the state that a ClientApp left and its reply durable, both or neither."""
        reply, left = given
        attempt = self._attempt(step, time.monotonic())
        try:
            left.check()
            envelope, objects = self._state.pushed_reply(reply)
            began = time.monotonic()
            reach("commit-started")
            context = SplitContext(self._context(step.series_id, left.context.state), left.arrays)
            value = encode_reply(envelope, objects)
            done = self._state.commit_step(
                step.message_id, step.series_id, context, value, attempt
            )
        except StoreFullError as error:
            self._state.store.room.say(error, step.run_id)
            return Event.COMMIT_REFUSED, Error(ErrorCode.UNKNOWN, str(error))
        except (LookupError, ValueError) as error:
            logger.error("%s", error)
            return Event.COMMIT_REFUSED, Error(ErrorCode.UNKNOWN, str(error))
        reach("step-committed")
        logger.info(
            "Committed: state of %d bytes, %d of them new, in %.1f ms (commit %d).",
            *(done.size, done.new_bytes, 1000 * (time.monotonic() - began), done.generation),
        )
        step.reply, step.logged = (envelope, objects), True
        return Event.COMMITTED, None

    def _context(self, series_id: int, state: RecordDict) -> Context:
        committed = self._state.bare_context(series_id)
        if committed is None:
            raise LookupError(f"The node store has no Context of run series {series_id}.")
        context = copy.copy(committed)
        context.state = state
        return context

    def complete_task(self, step: Step, _: object) -> None:
        """Note that the step's task has succeeded."""
        if step.task_id is not None:
            self._state.complete_task(step.task_id)

    def fail_task(self, step: Step, error: Error) -> None:
        """Note that the step's task has failed."""
        if step.task_id is not None:
            self._state.fail_task(step.task_id, error.reason or "")

    def stop_task(self, step: Step, _: object) -> None:
        """Note that the step's task is over, though its ClientApp has not ended."""
        if step.task_id is not None:
            self._state.stop_task(step.task_id, "The run has ended.")

    # The reply is sent, and that is noted.

    def record(self, step: Step, error: Error | None) -> None:
        """Write the row of a step that has failed; without an error, as its run has ended."""
        failure = self._failure(step, error)
        try:
            self._state.store.record_failure(step.message_id, failure)
        except StoreFullError as full:
            self._state.store.room.say(full)
            # That of a step that the store has is written when it is forgotten.
            if step.phase.stage in (Stage.ANSWERING, Stage.OVER):
                self.late_rows.add(step.message_id, failure)
            return
        step.logged = True
        reach("failure-recorded")

    def _failure(self, step: Step, error: Error | None) -> Failure:
        if step.failure is None:
            reason = _RUN_ENDED if error is None else error.reason or f"Error {error.code}."
            step.failure = Failure(step.run_id, reason, self._attempt(step))
        return step.failure

    def _attempt(self, step: Step, output_at: float | None = None) -> Attempt:
        metadata = step.envelope.message.metadata
        return Attempt(
            node_id=self._state.get_node_id(),
            group_id=metadata.group_id,
            action=metadata.message_type,
            handed_out=step.handed_out,
            app_seconds=self._state.seconds_taken(step.message_id),
            output_at=output_at,
        )

    def write_error(self, step: Step, error: Error) -> None:
        """Make an error the reply."""
        step.reply = error_reply(step.envelope.message, error)

    def send(self, step: Step, *, again: bool = False) -> Outcome:
        """Send the reply; `again` if a piece of it may have been sent before."""
        if step.reply is None:
            raise LookupError(f"There is no reply to message {step.message_id}.")
        metadata = step.reply[0].message.metadata
        receipt = self._receipt(step)
        logger.debug("Sending: %s message (ID: %s)", metadata.message_type, metadata.message_id)
        try:
            confirmed = self._link.send(
                *step.reply,
                self._state.seconds_taken(step.message_id),
                receipt,
                again=again,
                confirm=step.phase.stage is Stage.SENDING,
            )
        except KeyReplacedError:  # before anything of the reply was taken
            return self.send(step, again=again)
        except UnreachableError as error:
            logger.warning("%s Trying again.", error)
            return Event.UNREACHABLE, None
        except ReplyIncompleteError as error:
            # Its connection broke, or it took too long: what is missing is sent anew.
            logger.warning("%s Sending again.", error)
            return Event.INCOMPLETE, None
        except RunEndedError:
            return self._run_ended(step)
        except UnauthorizedError:
            raise
        except RefusedError as error:
            if error.is_server_error:  # such as a database that was busy
                logger.warning("The reply to %s is sent again. %s", step.message_id, error)
                return Event.SERVER_ERROR, None
            logger.error("The reply to %s was refused. %s", step.message_id, error)
            reach("reply-sent")
            return Event.REJECTED, None
        logger.info("Sent: %s message", metadata.message_type)
        reach("reply-sent")
        return (Event.SENT_AND_CONFIRMED if confirmed else Event.SENT), None

    def _receipt(self, step: Step) -> Receipt | None:
        """Return the receipt for how a step has ended, or None if the log does not have it."""
        if step.receipt is None and step.logged:
            found = self._state.store.receipt(step.message_id)
            step.receipt = None if found is None else self._link.sign(found)
            reach("receipt-signed")
        elif step.receipt is not None:
            step.receipt = self._link.signed_now(step.receipt)
        return step.receipt

    def send_again(self, step: Step) -> Outcome:
        """Send all of a reply of which a piece may have been sent before."""
        return self.send(step, again=True)

    def _run_ended(self, step: Step) -> Outcome:
        logger.info("Run %s has ended; its step is dropped.", step.run_id)
        return Event.RUN_ENDED, None

    def note_answered(self, step: Step, _: object) -> Outcome:
        """Note that the SuperLink has the reply of a committed step."""
        signature = step.receipt.signature if step.receipt else b""
        return self._note(lambda: self._state.store.answered(step.message_id, signature))

    def forget(self, step: Step, _: object) -> Outcome:
        """Remove a step that left nothing from the store."""
        signature = step.receipt.signature if step.receipt else b""
        failure = None if step.logged else self._failure(step, None)
        noted = self._note(lambda: self._state.store.forget(step.message_id, signature, failure))
        if failure is not None and noted[0] is Event.NOTED:
            self.late_rows.written()
        return noted

    def _note(self, note: Callable[[], None]) -> Outcome:
        try:
            note()
        except StoreFullError as error:
            self._state.store.room.say(error)
            return Event.DISK_FULL, None
        reach("reply-noted")
        return Event.NOTED, None

    def confirm(self, step: Step) -> Outcome:
        """Tell the SuperLink that it need not keep the message; if it cannot be told, it does."""
        try:
            self._link.confirm(step.run_id, step.message_id)
        except UnauthorizedError:
            raise
        except RunEndedError:
            pass  # and with it everything that the SuperLink keeps of it
        except (RefusedError, UnreachableError) as error:
            logger.warning("Message %s is kept longer. %s", step.message_id, error)
        return Event.CONFIRMED, None
