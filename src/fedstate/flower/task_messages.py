"""The messages of a task and their replies: several of flwr's requests at once."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends

# Whether a run has ended, as flwr's handlers ask for it.
from flwr.common.constant import Status

# What flwr's handlers of the Runtime API take and answer.
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.proto.task_pb2 import Task
from flwr.server.superlink.utils import check_abort
from flwr.supercore.dependencies.runtime import (
    RuntimeHandlersDependency,
    RuntimeStateDependency,
    TaskDependency,
)
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree

# The table of the replies.
from flwr.supercore.state.schema.linkstate_models import MessageRes
from sqlalchemy import func, select

from fedstate.exchange import batches
from fedstate.flower.bulk_state import BulkLinkState
from fedstate.flower.routing import ProtobufRequest
from fedstate.flower.run_objects import RuntimeObjects
from fedstate.flower.statements import in_batches
from fedstate.flower.witnessed_state import at_once
from fedstate.objects.contents import Arrived


@dataclass(frozen=True)
class Pulled:
    """Replies as flwr's route answers with them, and those of their objects that fit beside."""

    messages: Any
    objects: Mapping[str, bytes]


class TaskMessages:
    """What a task sends, for a request of its process to a SuperLink or a SuperNode.

    Parameters
    ----------
    node
        The node that the request names.
    state
        The server's state.
    handlers
        flwr's handlers of the Runtime API.
    task
        The task that the request comes from.
    """

    def __init__(self, node: Any, state: Any, handlers: Any, task: Task) -> None:
        self._node = node
        self._state = state
        self._handlers = handlers
        self._task = task

    @property
    def task_id(self) -> int:
        """The task."""
        return self._task.task_id

    def send(
        self, push: Any, contents: Mapping[str, bytes | Arrived], confirmed: Iterable[str]
    ) -> tuple[Any, set[str]]:
        """Store messages and their objects; return flwr's answer, and which objects were stored.

        Parameters
        ----------
        push
            flwr's ``PushAppMessagesRequest``.
        contents : mapping of str to bytes or Arrived
            The contents of objects.
        confirmed : iterable of str
            Replies that need not be kept.
        """
        # At once: no node is handed a message whose objects are still on their way.
        with at_once(self._state):
            self._begin(confirmed)
            answer = self._handlers.push_messages(push, self._state, self._task)
            wanted = set(answer.objects_to_push)
            contents = {key: content for key, content in contents.items() if key in wanted}
            stored = batches.store(self._objects, answer.session_id, contents)
        return answer, stored

    @property
    def _objects(self) -> RuntimeObjects:
        return RuntimeObjects(self._node, self._state, self._handlers, self._task)

    def _begin(self, confirmed: Iterable[str]) -> None:
        if isinstance(self._state, BulkLinkState):
            self._state.lock_run(self._task.run_id)
        for message_id in confirmed:
            request = ConfirmMessageReceivedRequest(
                node=self._node, run_id=self._task.run_id, message_object_id=message_id
            )
            self._handlers.confirm_message_received(request, self._state, self._task)


class ServerAppMessages(TaskMessages):
    """The messages of a ServerApp, and their replies."""

    def arrived(self, message_ids: Collection[str]) -> int:
        """Return how many of these messages have a reply that was not pulled."""
        if not isinstance(self._state, BulkLinkState):
            with self._state.lock:
                return sum(
                    each.metadata.reply_to_message_id in message_ids
                    and each.metadata.delivered_at == ""
                    for each in self._state.message_res_store.values()
                )
        with self._state.session() as session:
            return sum(
                session.scalar(
                    select(func.count())
                    .select_from(MessageRes)
                    .where(MessageRes.reply_to_message_id.in_(ids), MessageRes.delivered_at == "")
                )
                or 0
                for ids in in_batches(message_ids)
            )

    def pull(self, message_ids: Collection[str], confirmed: Iterable[str]) -> Pulled | None:
        """Pull the replies that have come, and errors in the place of those that will not.

        None once the run has ended: what is missing then is no error of a node.

        Parameters
        ----------
        message_ids : collection of str
            The messages.
        confirmed : iterable of str
            Replies that were pulled before, and need not be kept.
        """
        with at_once(self._state):
            self._begin(confirmed)
            if check_abort(self._task.run_id, [Status.FINISHED], self._state):
                return None
            request = PullAppMessagesRequest(message_ids=message_ids)
            answer = self._handlers.pull_messages(request, self._state, self._task)
            ids = dict.fromkeys(
                each.object_id
                for tree in answer.message_object_trees
                for each in iterate_object_tree(tree)
            )
            objects = batches.available(self._objects, list(ids)) if ids else {}
        return Pulled(answer, objects)


async def _task_messages(
    request: ProtobufRequest,
    state: RuntimeStateDependency,
    handlers: RuntimeHandlersDependency,
    task: TaskDependency,
) -> TaskMessages:
    return TaskMessages(request.node, state, handlers, task)


async def _serverapp_messages(
    request: ProtobufRequest,
    state: RuntimeStateDependency,
    handlers: RuntimeHandlersDependency,
    task: TaskDependency,
) -> ServerAppMessages:
    return ServerAppMessages(request.node, state, handlers, task)


TaskMessagesDependency = Annotated[TaskMessages, Depends(_task_messages)]
ServerAppMessagesDependency = Annotated[ServerAppMessages, Depends(_serverapp_messages)]
