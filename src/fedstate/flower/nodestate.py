"""A NodeState whose runs, FABs and Contexts live in the node store.

What is under way, tasks, tokens and the messages of running steps, stays in memory: after a
restart the node store knows which steps to start again.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Lock
from types import TracebackType
from typing import cast
from weakref import WeakValueDictionary

from flwr.app import Context, Message

# The seam of this product: flwr has no option for another NodeState, and its handlers and main
# loop take any subclass.
from flwr.common.serde import fab_from_proto, fab_to_proto, run_from_proto, run_to_proto
from flwr.proto.fab_pb2 import Fab as FabProto
from flwr.proto.run_pb2 import Run as RunProto
from flwr.proto.task_pb2 import Task
from flwr.supercore.date import now
from flwr.supercore.fab import Fab
from flwr.supercore.run import Run
from flwr.supernode.nodestate import NodeState, NodeStateFactory

from fedstate.flower.step_tasks import StepTasks
from fedstate.flower.stored_values import (
    decode_context,
    describe_state,
    digest_of,
    encode_context,
)
from fedstate.flower.waiting_objects import WaitingObjectStore
from fedstate.large.context import SplitContext
from fedstate.store.keeping_store import Origin
from fedstate.store.kept_states import KeptState
from fedstate.store.node_store import Commit, NodeStore, StoredRun
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value
from fedstate.witness.digests import state_digest

CACHE_BYTES = 256 * 1024 * 1024

_UNKNOWN = Attempt()


class DurableNodeState(StepTasks):
    """Keep runs, FABs and Contexts in a node store, with a small cache of Contexts.

    Any thread may use it. A load and a commit of one run series follow each other, so that no
    Context is in memory twice; those of different series do not wait for each other, except that
    the store commits one at a time. What is loaded is always what the store has committed last,
    whoever has: the cache is asked for that commit's number.

    Parameters
    ----------
    object_store : WaitingObjectStore
        Where the contents of messages under way are.
    store : NodeStore
        The node store.
    cache_bytes : int
        Bound on the Contexts that are kept in memory as well.
    """

    def __init__(
        self, object_store: WaitingObjectStore, store: NodeStore, cache_bytes: int = CACHE_BYTES
    ) -> None:
        super().__init__(object_store)
        self.store = store
        self.on_tasks_expired: Callable[[list[int]], None] = lambda _: None
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[int, _Cached] = OrderedDict()
        # For the two dictionaries alone: it is never held while something is read or written.
        self._cache_lock = Lock()
        self._series_locks: WeakValueDictionary[int, Lock] = WeakValueDictionary()
        # In place of flwr's own, which calls `_on_task_tokens_expired` while it is held.
        self._task_lock = _TaskLock(lambda tasks: self.on_tasks_expired(tasks))
        self.lock_task_store = cast("Lock", self._task_lock)

    def add_run(self, run: Run, fab: Fab, context: Context, origin: Origin | None = None) -> None:
        """Store a run, its FAB, and the Context that it starts with, in one commit.

        With `origin`, the log says which run the Context's state is of.
        """
        split = SplitContext.split(context)
        value = encode_context(split)
        with self._lock_of(run.series_id):
            generation = self.store.add_run(
                StoredRun(run.run_id, run.series_id, run.fab_hash, None),
                Value(run_to_proto(run).SerializeToString()),
                Value(b"", [fab_to_proto(fab).SerializeToString()]),
                value,
                origin=origin,
                node_id=context.node_id,
            )
            self._keep(run.series_id, _Cached(split, value.size, generation))

    def get_run(self, run_id: int) -> Run | None:
        """Return a run, or None."""
        if (run := super().get_run(run_id)) is not None:
            return run
        if (record := self.store.run_record(run_id)) is None:
            return None
        run = run_from_proto(RunProto.FromString(record))
        self.store_run(run)
        return run

    def get_fab(self, fab_hash: str) -> Fab | None:
        """Return a FAB, or None."""
        if (value := self.store.fab(fab_hash)) is None:
            return super().get_fab(fab_hash)
        return fab_from_proto(FabProto.FromString(bytes(value.blobs[0])))

    def get_run_series_context(self, series_id: int) -> Context | None:
        """Return the committed Context of a run series, or None."""
        split = self.split_context(series_id)
        return None if split is None else split.join()

    def split_context(self, series_id: int) -> SplitContext | None:
        """Return the committed Context of a run series without copying its arrays, or None."""
        loaded = self._load(series_id)
        return loaded.context if loaded else None

    def digested_context(self, series_id: int) -> tuple[SplitContext, bytes] | None:
        """Return the committed Context and the digest of its state, or None.

        The digest is that of what is returned: computed by the commit that left it in memory, or
        from the stored content as it was read, or here.
        """
        loaded = self._load(series_id)
        if loaded is None:
            return None
        if loaded.digest:
            return loaded.context, loaded.digest
        digest = digest_of(loaded.context)
        with self._cache_lock:
            if self._cache.get(series_id) is loaded:
                self._cache[series_id] = replace(loaded, digest=digest)
        return loaded.context, digest

    def _load(self, series_id: int) -> "_Cached | None":
        with self._lock_of(series_id):
            generation = self.store.context_generation(series_id)
            if cached := self._cached(series_id, generation):
                return cached
            if generation is None or (state := self.store.state(series_id)) is None:
                return None
            value, chunks = state
            digest = state_digest(describe_state(value.header), chunks)
            loaded = _Cached(decode_context(value), value.size, generation, digest)
            self._keep(series_id, loaded)
            return loaded

    def kept_context(self, run_id: int, number: int | None = None) -> tuple[KeptState, Context]:
        """Return a state that is kept of a run, its present one without `number`; its Context.

        Raises
        ------
        StateNotKeptError
            There is none.
        """
        kept, value = self.store.kept_context(run_id, number)
        return kept, decode_context(value).join()

    def bare_context(self, series_id: int) -> Context | None:
        """Return the committed Context of a run series without its larger arrays, or None."""
        if cached := self._cached(series_id, self.store.context_generation(series_id)):
            return cached.context.context
        header = self.store.context_header(series_id)
        return None if header is None else decode_context(Value(header)).context

    def set_run_series_context(self, series_id: int, context: Context) -> None:
        """Store a Context durably; a ClientApp's is stored with its reply by `commit_step`."""
        split = SplitContext.split(context)
        value = encode_context(split)
        with self._lock_of(series_id):
            generation = self.store.set_context(series_id, context.run_id, value)
            self._keep(series_id, _Cached(split, value.size, generation))

    def commit_step(
        self,
        message_id: str,
        series_id: int,
        context: SplitContext,
        reply: Value,
        attempt: Attempt = _UNKNOWN,
    ) -> Commit:
        """Store the Context that a step left, its reply and its row of the log, or nothing."""
        value = encode_context(context)
        with self._lock_of(series_id):
            commit = self.store.commit(message_id, series_id, value, reply, attempt)
            cached = _Cached(context, value.size, commit.generation, commit.digest)
            self._keep(series_id, cached)
        return commit

    def _lock_of(self, series_id: int) -> Lock:
        """Return the lock of a run series; it is there for as long as somebody has it."""
        with self._cache_lock:
            return self._series_locks.setdefault(series_id, Lock())

    def _cached(self, series_id: int, generation: int | None) -> "_Cached | None":
        with self._cache_lock:
            cached = self._cache.get(series_id)
            if cached is None or cached.generation != generation:
                return None
            self._cache.move_to_end(series_id)
            return cached

    def _keep(self, series_id: int, cached: "_Cached") -> None:
        with self._cache_lock:
            self._cache.pop(series_id, None)
            if cached.size > self._cache_bytes:
                return
            self._cache[series_id] = cached
            while sum(each.size for each in self._cache.values()) > self._cache_bytes:
                self._cache.popitem(last=False)

    def reply_to(self, message_id: str) -> Message | None:
        """Return the reply that a ClientApp has pushed to a message, or None."""
        with self.lock_msg_store:
            for entry in self.msg_store.values():
                if entry.message.metadata.reply_to_message_id == message_id:
                    return entry.message
        return None

    def seconds_taken(self, message_id: str) -> float:
        """Return how long a ClientApp took for a message; 0 if it did not run here."""
        with self.lock_time_store:
            entry = self.time_store.get(message_id)
        if entry is None or entry.finished_at is None:
            return 0.0
        return entry.finished_at - entry.starting_at

    def forget_step(self, task_id: int | None, message_ids: Sequence[str]) -> None:
        """Drop what memory holds of a step that is over."""
        for message_id in message_ids:
            self.object_store.delete(message_id)
        self.delete_messages(message_ids=message_ids)
        with self.lock_task_store:
            self.task_store.pop(task_id or 0, None)
        with self.lock_time_store:
            for message_id in message_ids:
                self.time_store.pop(message_id, None)

    def forget_run(self, run_id: int, series_id: int) -> None:
        """Drop what memory holds of a run that has ended."""
        with self.lock_run_store:
            self.run_store.pop(run_id, None)
        with self._cache_lock:
            self._cache.pop(series_id, None)
        self.object_store.delete_objects_in_run(run_id)
        self.delete_sessions_in_run(run_id)

    def expire_tasks(self, task_ids: Sequence[int]) -> bool:
        """Expire tasks as if their heartbeats had lapsed; return whether any was under way."""
        with self.lock_task_store:
            found = [self.task_token_store.get(task_id) for task_id in task_ids]
            under_way = [record for record in found if record is not None]
            for record in under_way:
                record.active_until = now() - timedelta(seconds=1)
            self._cleanup_expired_task_tokens_locked()
        return bool(under_way)

    def _on_task_tokens_expired(self, tasks: list[Task]) -> None:
        """Note them for who runs the steps; flwr would answer every message of their runs."""
        self._task_lock.expired += [task.task_id for task in tasks]


@dataclass(frozen=True)
class _Cached:
    """A Context in memory: its size in bytes, and the number of the commit that stored it.

    The digest of its state is empty until it is needed, unless a step left the Context.
    """

    context: SplitContext
    size: int
    generation: int
    digest: bytes = b""


class _TaskLock:
    """The lock of the tasks; `on_expired` hears of those that expired once it is released.

    Were it called earlier, it could take no lock under which anybody touches a task.
    """

    def __init__(self, on_expired: Callable[[list[int]], None]) -> None:
        self._lock = Lock()
        self._on_expired = on_expired
        # Guarded by the lock.
        self.expired: list[int] = []

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        expired, self.expired = self.expired, []
        self._lock.release()
        if expired:
            self._on_expired(expired)


class DurableNodeStateFactory(NodeStateFactory):
    """Hand out one `DurableNodeState`."""

    def __init__(self, state: DurableNodeState) -> None:
        self._durable = state

    def state(self) -> NodeState:
        """Return the node state."""
        return self._durable


def durable_node_state(
    store: NodeStore, cache_bytes: int = CACHE_BYTES, *, files: bool = True
) -> DurableNodeState:
    """Return a node state on a node store, with the messages under way in memory.

    With `files`, the large objects of these that are beyond a bound wait in temporary files.
    """
    objects = WaitingObjectStore() if files else WaitingObjectStore(None)
    return DurableNodeState(objects, store, cache_bytes)
