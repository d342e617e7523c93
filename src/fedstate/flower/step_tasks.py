"""The tasks of a node's steps: what a ClientApp is given of a step, and what it hands in.

flwr's Runtime API serves executors and ClientApps from the node state's tasks, messages and
objects. A step puts its message there, makes a task of it, and takes the reply from there.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

from flwr.app import Message

# How a task ends, as flwr's executors and tasks call it.
from flwr.common.constant import Status, SubStatus

# A message is a tree of objects.
from flwr.proto.message_pb2 import ObjectTree

# A run's main app decides which kind of task an executor is to take.
from flwr.supercore.constant import TaskType
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree

# What an object store raises for an object that it does not hold.
from flwr.supercore.object_store import NoObjectInStoreError

# The node state that flwr's Runtime API works on; it keeps all of this in memory.
from flwr.supernode.nodestate import InMemoryNodeState

from fedstate.flower.clients import Objects
from fedstate.flower.errors import MessageUnavailableError
from fedstate.flower.own_objects import OwnObjects
from fedstate.flower.runs import Run
from fedstate.flower.stored_values import Envelope, ReplyObjects
from fedstate.flower.waiting_objects import WaitingObjectStore
from fedstate.large.wire import Buffer

# Pieces of arrays, of 5 MiB each: what is in memory at once on its way to where objects wait.
_PIECES_AT_ONCE = 24

# More than can have ended while their processes still live.
_REPORTED = 10_000


class StepTasks(OwnObjects, InMemoryNodeState):
    """The part of a node state that the steps of a SuperNode work with."""

    object_store: WaitingObjectStore

    def __init__(self, object_store: WaitingObjectStore) -> None:
        super().__init__(object_store)
        # The tasks whose process has reported how they ended; guarded by the lock of the tasks.
        self._reported: dict[int, None] = {}

    def take_in(self, envelope: Envelope, pull: Callable[[Sequence[str]], Objects]) -> None:
        """Put a message and its objects where a ClientApp pulls them.

        Parameters
        ----------
        envelope : Envelope
            The message.
        pull : callable
            Returns the contents of the objects with the given IDs.

        Raises
        ------
        MessageUnavailableError
            What was pulled is not what the message is made of.
        """
        run_id = envelope.message.metadata.run_id
        try:
            missing = self.object_store.preregister(run_id, envelope.tree)
            for group in _groups(envelope.tree, missing):
                for object_id, content in pull(group).items():
                    self.object_store.put(object_id, content)
                    self.object_store.register(run_id, object_id)
        except (ValueError, NoObjectInStoreError) as error:
            raise MessageUnavailableError(str(error)) from error
        self.store_message(envelope.message)

    def run_of_message(self, message_id: str) -> int | None:
        """Return the run of a message that is kept; None if it is not."""
        with self.lock_msg_store:
            entry = self.msg_store.get(message_id)
        return None if entry is None else entry.message.metadata.run_id

    def create_step_task(self, run: Run) -> int:
        """Create the task of a step, which an executor may take at once; return its ID."""
        agent = run.primary_task_type == TaskType.AGENT_APP
        task_id = self.create_task(
            task_type=TaskType.AGENT_APP if agent else TaskType.CLIENT_APP,
            run_id=run.run_id,
            fab_hash=run.fab_hash,
        )
        if task_id is None:  # flwr refuses only what another task has asked for
            raise RuntimeError(f"No task could be created for run {run.run_id}.")
        return task_id

    def complete_task(self, task_id: int) -> None:
        """Note that a task has done what it was asked for."""
        self.finish_task(task_id, SubStatus.COMPLETED, "")

    def fail_task(self, task_id: int, details: str) -> None:
        """Note that a task has failed; its ClientApp has no access from then on."""
        self.finish_task(task_id, SubStatus.FAILED, details)

    def stop_task(self, task_id: int, details: str) -> None:
        """End a task though its process has reported nothing; it has no access from then on."""
        self.finish_task(task_id, SubStatus.STOPPED, details)

    def finish_task(self, task_id: int, sub_status: str, details: str) -> bool:
        """End a task; only what was stopped is told to its executor, the rest has reported it."""
        if sub_status != SubStatus.STOPPED:
            with self.lock_task_store:
                task = self.task_store.get(task_id)
                if task is not None and task.status.status != Status.FINISHED:
                    self._reported[task_id] = None
                    if len(self._reported) > _REPORTED:
                        del self._reported[next(iter(self._reported))]
        return super().finish_task(task_id, sub_status, details)

    def ended_tasks(self, task_ids: Collection[int]) -> list[int]:
        """Return the tasks that are not under way, except for those that have reported it.

        A task that this state does not know was that of another SuperNode, or of a step that has
        been dropped.
        """
        with self.lock_task_store:
            return [task_id for task_id in task_ids if self._has_ended(task_id)]

    def _has_ended(self, task_id: int) -> bool:
        task = self.task_store.get(task_id)
        under_way = task is not None and task.status.status != Status.FINISHED
        return not under_way and task_id not in self._reported

    def pushed_reply(self, reply: Message) -> tuple[Envelope, ReplyObjects]:
        """Return a reply that a ClientApp has pushed, and its objects, where they are.

        Raises
        ------
        LookupError
            It did not arrive as a whole.
        """
        try:
            tree = self.object_store.get_object_tree(reply.metadata.message_id)
        except NoObjectInStoreError as error:
            raise LookupError("The ClientApp's reply did not arrive as a whole.") from error
        envelope = Envelope(reply, tree)
        views: dict[str, Buffer] = {}
        for object_id in envelope.object_ids:
            content = self.object_store.view(object_id)
            if not content:
                raise LookupError("The ClientApp's reply did not arrive as a whole.")
            views[object_id] = content
        return envelope, ReplyObjects(views)


def _groups(tree: ObjectTree, object_ids: Sequence[str]) -> Iterator[list[str]]:
    """Yield the IDs of a message's objects in groups that are small enough to be in memory.

    Pieces of arrays that have several are as large as pieces are. What else there is comes with
    the first of them, for which a model of a usual size needs no more requests than in one group.
    """
    pieces = {
        piece.object_id: None
        for node in iterate_object_tree(tree)
        if len(node.children) > 1 and not any(child.children for child in node.children)
        for piece in node.children
    }
    large = [each for each in object_ids if each in pieces]
    rest = [each for each in object_ids if each not in pieces]
    yield rest + large[:_PIECES_AT_ONCE]
    for start in range(_PIECES_AT_ONCE, len(large), _PIECES_AT_ONCE):
        yield large[start : start + _PIECES_AT_ONCE]
