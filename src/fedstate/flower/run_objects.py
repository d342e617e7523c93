"""The objects of one run in the state of a SuperLink or a SuperNode.

Contents are the bytes of an object; None if the object is not registered, and empty if it is
registered and has not arrived yet. That is what flwr's states return. A SuperLink on a file has
large ones in files.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any

from fastapi import Depends, Request

# The ID under which flwr's SuperLink and ServerApps name the SuperLink itself.
from flwr.common.constant import SUPERLINK_NODE_ID, Status

# flwr's handlers take and return these, one object at a time.
from flwr.proto.message_pb2 import PullObjectRequest, PushObjectRequest
from flwr.proto.task_pb2 import Task

# The SuperLink's state, and how flwr refuses requests for a run that has ended.
from flwr.server.superlink.linkstate import LinkState
from flwr.server.superlink.utils import check_abort
from flwr.supercore.dependencies.runtime import (
    RuntimeHandlersDependency,
    RuntimeStateDependency,
    TaskDependency,
)
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.superlink.dependencies.linkstate import get_linkstate
from flwr.superlink.servicer.fleet import fleet_handlers

# A SuperNode's state.
from flwr.supernode.nodestate import NodeState

from fedstate.flower.bulk_state import BulkLinkState
from fedstate.flower.evidence_log import EvidenceLog
from fedstate.flower.node_objects import NodeObjects, check_sender
from fedstate.flower.routing import ProtobufRequest, malformed_request
from fedstate.flower.witnessed_state import evidence_of, witnessed
from fedstate.objects.contents import Arrived, Content, in_memory


class RuntimeObjects:
    """The objects of a task's run, for a request to the Runtime API.

    Parameters
    ----------
    node
        The node that the request names.
    state
        The state of the SuperLink or the SuperNode.
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

    def get(self, object_id: str) -> Content | None:
        """Return the content of an object, from flwr's handler if the state is flwr's."""
        if isinstance(self._state, BulkLinkState):
            self._check_node()
            return self._state.find_object(self._task.run_id, object_id)
        if isinstance(self._state, NodeState):  # whose handlers check nothing, and copy
            return self._state.get_object(self._task.run_id, object_id)
        request = PullObjectRequest(
            node=self._node, run_id=self._task.run_id, object_id=object_id
        )
        response = self._handlers.pull_object(request, self._state, self._task)
        return response.object_content if response.object_found else None

    def put(self, session_id: str, object_id: str, content: bytes | Arrived) -> bool:
        """Store an object, with flwr's handler if the state is flwr's; return whether it was."""
        if isinstance(self._state, BulkLinkState):
            self._check_node()
            return self._state.store_content(self._task.run_id, session_id, object_id, content)
        if isinstance(self._state, NodeState):
            return self._state.store_object(
                self._task.run_id, session_id, object_id, in_memory(content)
            )
        request = PushObjectRequest(
            node=self._node,
            run_id=self._task.run_id,
            session_id=session_id,
            object_id=object_id,
            object_content=in_memory(content),
        )
        return bool(self._handlers.push_object(request, self._state, self._task).stored)

    def get_many(self, object_ids: Sequence[str]) -> list[Content | None] | None:
        """Return the first of these objects, as many as fit; None if the state cannot."""
        if not isinstance(self._state, BulkLinkState):
            return None
        self._check_node()
        return self._state.find_objects(self._task.run_id, object_ids)

    def awaited(self, object_ids: Sequence[str]) -> set[str]:
        """Return those objects that somebody is sending; none if the state does not tell."""
        if not isinstance(self._state, BulkLinkState):
            return set()
        return self._state.awaited(self._task.run_id, object_ids)

    def put_many(
        self, session_id: str, contents: Mapping[str, bytes | Arrived]
    ) -> set[str] | None:
        """Store objects; return the IDs of those stored, or None if the state cannot."""
        if not isinstance(self._state, BulkLinkState):
            return None
        self._check_node()
        return self._state.store_objects(self._task.run_id, session_id, contents)

    def _check_node(self) -> None:
        """Refuse what the SuperLink's handlers for one object refuse."""
        if self._node.node_id != SUPERLINK_NODE_ID:
            raise FlowerError(ApiErrorCode.RUNTIME_UNEXPECTED_NODE_ID, "Unexpected node ID.")


class FleetObjects:
    """The objects of a run, for a request to the SuperLink's Fleet API.

    flwr's handlers look up the run's status and count the traffic anew for each object; here both
    are done once for a request.

    Parameters
    ----------
    state
        The SuperLink's state.
    run_id
        The run.
    hidden
        Returns those of some objects that the node may not see.
    """

    def __init__(
        self, state: LinkState, run_id: int, hidden: Callable[[Sequence[str]], set[str]]
    ) -> None:
        self._state = state
        self._run_id = run_id
        self._hidden = hidden

    def get(self, object_id: str) -> Content | None:
        """Return the content of an object."""
        if self._hidden([object_id]):
            return None
        if isinstance(self._state, BulkLinkState):
            return self._state.find_object(self._run_id, object_id)
        return self._state.get_object(self._run_id, object_id)

    def put(self, session_id: str, object_id: str, content: bytes | Arrived) -> bool:
        """Store an object; return whether it was stored."""
        if isinstance(self._state, BulkLinkState):
            return self._state.store_content(self._run_id, session_id, object_id, content)
        return self._state.store_object(self._run_id, session_id, object_id, in_memory(content))

    def get_many(self, object_ids: Sequence[str]) -> list[Content | None] | None:
        """Return the first of these objects, as many as fit; None if the state cannot."""
        if not isinstance(self._state, BulkLinkState):
            return None
        return self._state.find_objects(self._run_id, object_ids, self._hidden(object_ids))

    def awaited(self, object_ids: Sequence[str]) -> set[str]:
        """Return those objects that somebody is sending; none if the state does not tell."""
        if not isinstance(self._state, BulkLinkState):
            return set()
        return self._state.awaited(self._run_id, object_ids)

    def put_many(
        self, session_id: str, contents: Mapping[str, bytes | Arrived]
    ) -> set[str] | None:
        """Store objects; return the IDs of those stored, or None if the state cannot."""
        if not isinstance(self._state, BulkLinkState):
            return None
        return self._state.store_objects(self._run_id, session_id, contents)

    def count_traffic(self, *, sent: int = 0, received: int = 0) -> None:
        """Add bytes to the traffic that the SuperLink reports for the run."""
        if sent or received:
            self._state.store_traffic(self._run_id, bytes_sent=sent, bytes_recv=received)


class FleetApi:
    """flwr's handlers of the Fleet API, as far as our routes need them.

    Parameters
    ----------
    state
        The SuperLink's state.
    node_objects
        What its nodes may see.
    node_id
        The node that the request comes from.
    """

    def __init__(self, state: LinkState, node_objects: NodeObjects, node_id: int) -> None:
        self._state = state
        self.node_objects = node_objects
        self._node_id = node_id

    @property
    def streams(self) -> bool:
        """Whether large contents are in files, and streamed."""
        return isinstance(self._state, BulkLinkState)

    @property
    def evidence(self) -> EvidenceLog:
        """Where the receipts of nodes are kept."""
        return evidence_of(self._state)

    def at_once(self) -> AbstractContextManager[None]:
        """Return a block that changes everything or nothing."""
        return witnessed(self._state).at_once()

    def objects_of(self, run_id: int) -> FleetObjects:
        """Return the objects of a run; a run that has ended is refused as flwr does."""
        if isinstance(self._state, BulkLinkState) and self._state.is_running(run_id):
            return self._objects(run_id)
        ended = check_abort(
            run_id, [Status.PENDING, Status.STARTING, Status.FINISHED], self._state
        )
        if ended:
            raise FlowerError(ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED, ended)
        return self._objects(run_id)

    def push_reply(self, push: Any) -> tuple[Any, FleetObjects]:
        """Store a reply without its objects; return flwr's response, and the run's objects.

        Parameters
        ----------
        push
            flwr's ``PushMessagesRequest`` with one message and its object tree.
        """
        messages, trees = len(push.messages_list), len(push.message_object_trees)
        if (messages, trees) != (1, 1):
            raise malformed_request(
                f"A reply comes with one object tree; this request has {messages} messages and "
                f"{trees} trees."
            )
        check_sender(self._node_id, push.messages_list)
        response = fleet_handlers.push_messages(push, self._state)
        return response, self._objects(push.messages_list[0].metadata.run_id)

    def delete_message(self, run_id: int, message_id: str) -> None:
        """Delete the objects of a message that has been replied to, if the node had it."""
        if self.node_objects.may_confirm(self._node_id, run_id, message_id):
            self._state.object_store.delete(message_id)

    def _objects(self, run_id: int) -> FleetObjects:
        def hidden(object_ids: Sequence[str]) -> set[str]:
            return self.node_objects.hidden(self._node_id, run_id, object_ids)

        return FleetObjects(self._state, run_id, hidden)


async def _runtime_objects(
    request: ProtobufRequest,
    state: RuntimeStateDependency,
    handlers: RuntimeHandlersDependency,
    task: TaskDependency,
) -> RuntimeObjects:
    return RuntimeObjects(request.node, state, handlers, task)


async def _fleet_api(
    http: Request,
    request: ProtobufRequest,
    state: Annotated[LinkState, Depends(get_linkstate)],
) -> FleetApi:
    return FleetApi(state, http.app.state.node_objects, request.node.node_id)


RuntimeObjectsDependency = Annotated[RuntimeObjects, Depends(_runtime_objects)]
FleetApiDependency = Annotated[FleetApi, Depends(_fleet_api)]
