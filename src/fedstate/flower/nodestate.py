"""A NodeState whose runs, FABs and Contexts live in the node store.

What is under way, tasks, tokens and the messages of running steps, stays in memory: after a
restart the node store knows which steps to start again.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import RLock

from flwr.app import Context, Message

# The seam of this product: flwr has no option for another NodeState, and its handlers and main
# loop take any subclass.
from flwr.common.serde import fab_from_proto, fab_to_proto, run_from_proto, run_to_proto
from flwr.proto.fab_pb2 import Fab as FabProto
from flwr.proto.run_pb2 import Run as RunProto
from flwr.proto.task_pb2 import Task
from flwr.supercore.date import now
from flwr.supercore.fab import Fab
from flwr.supercore.object_store import ObjectStore
from flwr.supercore.run import Run
from flwr.supernode.nodestate import InMemoryNodeState, NodeState, NodeStateFactory

from fedstate.flower.stored_values import decode_context, encode_context
from fedstate.large.context import SplitContext
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value

CACHE_BYTES = 256 * 1024 * 1024


class DurableNodeState(InMemoryNodeState):
    """Keep runs, FABs and Contexts in a node store, with a small cache of Contexts.

    Parameters
    ----------
    object_store : ObjectStore
        Where the contents of messages under way are.
    store : NodeStore
        The node store.
    cache_bytes : int
        Bound on the Contexts that are kept in memory as well.
    """

    def __init__(
        self, object_store: ObjectStore, store: NodeStore, cache_bytes: int = CACHE_BYTES
    ) -> None:
        super().__init__(object_store)
        self.store = store
        self.on_tasks_expired: Callable[[list[Task]], None] = lambda _: None
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[int, tuple[SplitContext, int]] = OrderedDict()
        self._cache_lock = RLock()

    def add_run(self, run: Run, fab: Fab, context: Context) -> None:
        """Store a run, its FAB, and the Context that it starts with, in one commit."""
        self.store.add_run(
            StoredRun(run.run_id, run.series_id, run.fab_hash, None),
            Value(run_to_proto(run).SerializeToString()),
            Value(b"", [fab_to_proto(fab).SerializeToString()]),
            encode_context(SplitContext.split(context)),
        )

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
        return fab_from_proto(FabProto.FromString(bytes(value.parts[0])))

    def get_run_series_context(self, series_id: int) -> Context | None:
        """Return the committed Context of a run series, or None."""
        split = self.split_context(series_id)
        return None if split is None else split.join()

    def split_context(self, series_id: int) -> SplitContext | None:
        """Return the committed Context of a run series without copying its arrays, or None."""
        with self._cache_lock:
            if cached := self._cache.get(series_id):
                self._cache.move_to_end(series_id)
                return cached[0]
            if (value := self.store.context(series_id)) is None:
                return None
            context = decode_context(value)
            self._keep(series_id, context, value.size)
            return context

    def bare_context(self, series_id: int) -> Context | None:
        """Return the committed Context of a run series without its larger arrays, or None."""
        with self._cache_lock:
            if cached := self._cache.get(series_id):
                return cached[0].context
        header = self.store.context_header(series_id)
        return None if header is None else decode_context(Value(header)).context

    def set_run_series_context(self, series_id: int, context: Context) -> None:
        """Store a Context durably; a ClientApp's is stored with its reply by `commit_step`."""
        split = SplitContext.split(context)
        value = encode_context(split)
        with self._cache_lock:
            self.store.set_context(series_id, context.run_id, value)
            self._keep(series_id, split, value.size)

    def commit_step(
        self, message_id: str, series_id: int, context: SplitContext, reply: Value
    ) -> None:
        """Store the Context that a step left and its reply, both or neither."""
        value = encode_context(context)
        with self._cache_lock:
            self.store.commit(message_id, series_id, value, reply)
            self._keep(series_id, context, value.size)

    def _keep(self, series_id: int, context: SplitContext, size: int) -> None:
        self._cache.pop(series_id, None)
        if size > self._cache_bytes:
            return
        self._cache[series_id] = (context, size)
        while sum(size for _, size in self._cache.values()) > self._cache_bytes:
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

    def expire_tasks(self, task_ids: Sequence[int]) -> None:
        """Give up tasks that are under way as if their heartbeats had lapsed."""
        with self.lock_task_store:
            for task_id in task_ids:
                if record := self.task_token_store.get(task_id):
                    record.active_until = now() - timedelta(seconds=1)
            self._cleanup_expired_task_tokens_locked()

    def _on_task_tokens_expired(self, tasks: list[Task]) -> None:
        """Tell who runs the steps; flwr would answer every message of the tasks' runs."""
        self.on_tasks_expired(tasks)


class DurableNodeStateFactory(NodeStateFactory):
    """Hand out one `DurableNodeState`."""

    def __init__(self, state: DurableNodeState) -> None:
        self._durable = state

    def state(self) -> NodeState:
        """Return the node state."""
        return self._durable
