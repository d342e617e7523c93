"""The steps of a SuperNode: from a message that was pulled to a reply that was sent.

The order is the product: a message is durable before its step starts, and the state that a step
made is durable, together with its reply, before the reply leaves the node. Steps that share a
Context, those of one run series, follow each other in the order of their messages; those of
different series do not wait for each other.
"""

import copy
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
from flwr.app import Context, Error, Message, RecordDict

# Tasks, error codes, and what flwr raises when a run has ended or an object is gone.
from flwr.common.constant import ErrorCode, SubStatus
from flwr.proto.task_pb2 import Task
from flwr.supercore.constant import TaskType
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, ObjectPushError
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.supercore.run import Run, RunNotRunningException

from fedstate.failpoints import reach
from fedstate.flower.clients import reason_of
from fedstate.flower.nodestate import DurableNodeState
from fedstate.flower.stored_values import Envelope, decode_reply, encode_reply, error_reply
from fedstate.large.context import SplitContext
from fedstate.logs import logger
from fedstate.store.errors import StoreError, StoreFullError
from fedstate.store.values import Value
from fedstate.supernode.admission import Admission
from fedstate.supernode.link import Fleet
from fedstate.supernode.replies import Objects
from fedstate.supernode.step import Step

_RETRY_SECONDS = 2.0


class Steps:
    """Start steps, commit what they made, and send their replies.

    Parameters
    ----------
    state : DurableNodeState
        The node state, which the Runtime API serves to executors.
    fleet : Fleet
        The session at the SuperLink.
    admission : Admission
        What takes in new runs.
    concurrency : int
        How many steps may be under way at once.
    on_change : callable
        Is called when a step has ended.
    """

    def __init__(
        self,
        state: DurableNodeState,
        fleet: Fleet,
        *,
        admission: Admission,
        concurrency: int,
        on_change: Callable[[], None],
    ) -> None:
        self._state = state
        self._fleet = fleet
        self._admission = admission
        self._concurrency = concurrency
        self._on_change = on_change
        self._lock = threading.RLock()
        self._waiting: OrderedDict[int, deque[Envelope]] = OrderedDict()
        self._active: dict[int, Step] = {}
        self._pool = ThreadPoolExecutor(concurrency + 1, "step")
        self.failure: BaseException | None = None
        self.on_task: Callable[[], None] = lambda: None
        state.on_tasks_expired = self._on_tasks_expired

    @property
    def under_way(self) -> bool:
        """Whether any step is running or waiting."""
        with self._lock:
            return bool(self._active or self._waiting)

    def running(self, run_id: int) -> bool:
        """Whether a step of this run is running or waiting."""
        with self._lock:
            queued = (each for queue in self._waiting.values() for each in queue)
            active = (step.envelope for step in self._active.values())
            return any(e.message.metadata.run_id == run_id for e in (*queued, *active))

    def resume(self) -> None:
        """Take up the steps that the last SuperNode left: replies to send, steps to run."""
        store = self._state.store
        for step in [*store.steps("committed"), *store.steps("received")]:
            header = store.message(step.message_id)
            if header is not None:
                logger.info("Resuming %s step %s.", step.status, step.message_id)
                self._offer(Envelope.from_bytes(header))

    def receive(self, envelope: Envelope) -> None:
        """Make a pulled message durable and queue its step."""
        metadata = envelope.message.metadata
        logger.info("[RUN %s, ROUND %s]", metadata.run_id, metadata.group_id)
        logger.info("Receiving: %s message (ID: %s)", metadata.message_type, metadata.message_id)
        try:
            problem = self._admission.problem_with(metadata.run_id)
            if problem is None:
                self._state.store.receive(
                    metadata.message_id, metadata.run_id, Value(envelope.to_bytes())
                )
        except RunNotRunningException:
            logger.info("Run %s has ended; its message is ignored.", metadata.run_id)
            return
        except StoreFullError as error:
            problem = Error(ErrorCode.UNKNOWN, str(error))
        if problem is not None:
            logger.error("Message %s is refused: %s", metadata.message_id, problem.reason)
            self._pool.submit(self._guarded, self._send_error, Step(envelope), problem)
            return
        reach("message-stored")
        self._offer(envelope)

    def _offer(self, envelope: Envelope) -> None:
        metadata = envelope.message.metadata
        series_id = self._run(metadata.run_id).series_id
        with self._lock:
            active = self._active.get(series_id)
            if active is not None and active.message_id == metadata.message_id:
                active.pulled_again = True
                return
            queue = self._waiting.setdefault(series_id, deque())
            if all(e.message.metadata.message_id != metadata.message_id for e in queue):
                queue.append(envelope)
        self._start_next()

    def _start_next(self) -> None:
        with self._lock:
            for series_id in list(self._waiting):
                if len(self._active) >= self._concurrency:
                    return
                if series_id in self._active:
                    continue
                step = Step(self._waiting[series_id].popleft(), series_id)
                if not self._waiting[series_id]:
                    del self._waiting[series_id]
                self._active[series_id] = step
                self._pool.submit(self._guarded, self._start, step)

    @contextmanager
    def critical(self) -> Iterator[None]:
        """Run a block in which a failure of the store ends the SuperNode."""
        try:
            yield
        except StoreError as error:
            self.failure = error
            self._on_change()
            raise

    def _guarded(self, action: Callable[..., None], step: Step, *arguments: object) -> None:
        """Run a part of a step, again if the connection breaks.

        A run that has ended ends its step; any other error ends the SuperNode.
        """
        try:
            while True:
                try:
                    return action(step, *arguments)
                except httpx.TransportError as error:
                    logger.warning("%s Trying again.", reason_of(error))
                    time.sleep(_RETRY_SECONDS)
                except RunNotRunningException:
                    logger.info("Run %s has ended; its step is dropped.", step.run_id)
                    known = self._state.store.step(step.message_id)
                    # A step that was committed stays known: if the SuperLink was mistaken and
                    # the message comes again, it must not be made again.
                    committed = known is not None and known.status == "committed"
                    store = self._state.store
                    self._note(store.answered if committed else store.forget, step)
                    return self._end(step)
        except BaseException as error:
            self.failure = error
            self._on_change()

    def _note(self, note: Callable[[str], None], step: Step) -> None:
        """Note in the store how a step ended, however long the disk is full.

        Were it not noted, the next SuperNode would make a failed step again.
        """
        while True:
            try:
                return note(step.message_id)
            except StoreFullError as error:
                logger.warning("%s", error)
                time.sleep(_RETRY_SECONDS)

    def _start(self, step: Step) -> None:
        known = self._state.store.step(step.message_id)
        if known is not None and known.status != "received":
            self._answer_again(step)
            return
        if known is None:  # it failed while the ServerApp sent it again
            self._state.store.receive(
                step.message_id, step.run_id, Value(step.envelope.to_bytes())
            )
        state, message = self._state, step.envelope.message
        missing = state.object_store.preregister(step.run_id, step.envelope.tree)
        try:
            objects = self._fleet.pull_objects(step.run_id, missing)
            for object_id, content in objects.items():
                state.object_store.put(object_id, content)
        except (ObjectPullError, httpx.HTTPStatusError, ValueError) as error:
            # Gone at the SuperLink, not uploaded in time, or not what its ID says.
            logger.warning("Message %s cannot be pulled: %s", step.message_id, error)
            self._send_error(step, Error(ErrorCode.MESSAGE_UNAVAILABLE, str(error)))
            return
        state.store_message(message)
        run = self._run(step.run_id)
        agent = run.primary_task_type == TaskType.AGENT_APP
        with self._lock:
            step.task_id = state.create_task(
                task_type=TaskType.AGENT_APP if agent else TaskType.CLIENT_APP,
                run_id=step.run_id,
                fab_hash=run.fab_hash,
            )
        self.on_task()
        reach("task-created")

    def _run(self, run_id: int) -> Run:
        run = self._state.get_run(run_id)
        if run is None:
            raise LookupError(f"The node store has a message of the unknown run {run_id}.")
        return run

    def _answer_again(self, step: Step) -> None:
        """Answer a message whose step was committed: with the stored reply, not by training."""
        stored = self._state.store.reply(step.message_id)
        if stored is None:
            reason = "The step was committed, and its reply is not kept any longer."
            gone = error_reply(step.envelope.message, Error(ErrorCode.UNKNOWN, reason))
            self._send(step, *gone, committed=True)
            return
        logger.info("Step %s is committed: its stored reply is sent.", step.message_id)
        step.sent_before = True
        self._send(step, *decode_reply(stored), committed=True)

    def of_task(self, task_id: int) -> Step | None:
        """Return the step that a task belongs to, or None."""
        with self._lock:
            return next((s for s in self._active.values() if s.task_id == task_id), None)

    def complete(self, step: Step, left: SplitContext) -> None:
        """Commit what a step made and send its reply; a step without a reply has failed.

        Of the Context that the ClientApp has left, only its state is taken: an app has no say
        in which run, or whose, a Context is.
        """
        with step.lock:
            if step.over:
                return
            reply = self._state.reply_to(step.message_id)
            if reply is None:
                reason = "The ClientApp ended without a reply. The state before this step stays."
                self._fail(step, Error(ErrorCode.CLIENT_APP_CRASHED, reason))
                return
            if reply.has_error():
                self._fail(step, reply.error)
                return
            try:
                left.check()
                envelope, objects = self._pushed(reply)
                reach("commit-started")
                context = SplitContext(
                    self._context(step.series_id, left.context.state), left.arrays
                )
                self._state.commit_step(
                    step.message_id, step.series_id, context, encode_reply(envelope, objects)
                )
            except (StoreFullError, LookupError, ValueError, NoObjectInStoreError) as error:
                logger.error("%s", error)
                self._fail(step, Error(ErrorCode.UNKNOWN, str(error)))
                return
            reach("step-committed")
            step.over = True
            self._finish_task(step, SubStatus.COMPLETED, "")
            self._pool.submit(self._guarded, self._send_committed, step, envelope, objects)

    def _context(self, series_id: int, state: RecordDict) -> Context:
        committed = self._state.bare_context(series_id)
        if committed is None:
            raise LookupError(f"The node store has no Context of run series {series_id}.")
        context = copy.copy(committed)
        context.state = state
        return context

    def _pushed(self, reply: Message) -> tuple[Envelope, Objects]:
        """Return a reply that a ClientApp pushed; raise LookupError if a part is missing."""
        reply_id = reply.metadata.message_id
        envelope = Envelope(reply, self._state.object_store.get_object_tree(reply_id))
        objects = {}
        for object_id in envelope.object_ids:
            content = self._state.object_store.get(object_id)
            if not content:
                raise LookupError("The ClientApp's reply did not arrive as a whole.")
            objects[object_id] = content
        return envelope, objects

    def fail(self, step: Step, details: str) -> None:
        """End a step that failed: nothing of it is stored, and its reply is an error."""
        with step.lock:
            if step.over:
                return
            pushed = self._state.reply_to(step.message_id)
            if pushed is not None and pushed.has_error():
                self._fail(step, pushed.error)
            else:
                self._fail(step, Error(ErrorCode.CLIENT_APP_CRASHED, details))

    def _fail(self, step: Step, error: Error) -> None:
        step.over = True
        self._finish_task(step, SubStatus.FAILED, error.reason or "")
        self._pool.submit(self._guarded, self._send_error, step, error)

    def _finish_task(self, step: Step, sub_status: str, details: str) -> None:
        if step.task_id is not None:
            self._state.finish_task(step.task_id, sub_status, details)

    def _on_tasks_expired(self, tasks: list[Task]) -> None:
        for task in tasks:
            if step := self.of_task(task.task_id):
                # Not here: the caller holds the lock of the tasks.
                self._pool.submit(self._guarded, self.fail, step, "ClientApp stopped responding.")

    def _send_committed(self, step: Step, envelope: Envelope, objects: Objects) -> None:
        self._send(step, envelope, objects, committed=True)

    def _send_error(self, step: Step, error: Error) -> None:
        self._send(step, *error_reply(step.envelope.message, error), committed=False)

    def _send(self, step: Step, envelope: Envelope, objects: Objects, *, committed: bool) -> None:
        metadata = envelope.message.metadata
        logger.info("Sending: %s message (ID: %s)", metadata.message_type, metadata.message_id)
        seconds = self._state.seconds_taken(step.message_id)
        while True:
            with self._lock:
                step.pulled_again = False
            try:
                again, step.sent_before = step.sent_before, True
                reply, confirmed = (envelope, objects, seconds), False
                confirmed = self._fleet.send(*reply, again=again, confirm=committed)
            except httpx.HTTPStatusError as error:
                logger.error("The reply to %s was refused. %s", step.message_id, reason_of(error))
                if error.response.is_server_error:  # such as a database that was busy
                    time.sleep(_RETRY_SECONDS)
                    continue
            except ObjectPushError as error:
                # Its connection broke, or it took too long: what is missing is sent anew.
                logger.warning("%s Sending again.", error)
                time.sleep(_RETRY_SECONDS)
                continue
            reach("reply-sent")
            with self._lock:
                # The ServerApp sent the message again while the reply was under way, which may
                # have come too early to be taken as the reply to it.
                if not step.pulled_again:
                    break
        store = self._state.store
        self._note(store.answered if committed else store.forget, step)
        reach("reply-noted")
        try:
            # The message of a step that failed may be on its way again, with the same objects.
            if committed and not confirmed:
                self._fleet.confirm(step.run_id, step.message_id)
        except httpx.HTTPStatusError as error:
            logger.warning("Message %s is kept longer. %s", step.message_id, reason_of(error))
        logger.info("Sent successfully")
        self._end(step, metadata.message_id)

    def _end(self, step: Step, *reply_ids: str) -> None:
        pushed = self._state.reply_to(step.message_id)
        ids = [step.message_id, *reply_ids, *([pushed.metadata.message_id] if pushed else [])]
        self._state.forget_step(step.task_id, ids)
        with self._lock:
            if self._active.get(step.series_id) is step:
                del self._active[step.series_id]
            if step.pulled_again:  # since the reply was sent, to which it may be the answer
                self._waiting.setdefault(step.series_id, deque()).appendleft(step.envelope)
        self._start_next()
        self._on_change()

    def close(self) -> None:
        """Start nothing more; what is under way is taken up by the next SuperNode."""
        with self._lock:
            self._waiting.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)
