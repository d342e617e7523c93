"""flwr's routes for messages and their objects at a SuperLink: checked, and streamed.

flwr's handlers do not look whether a node has to do with what it asks for. For one object they
have protobuf copy its content, and hold it in memory; where the state has large contents in
files, both handlers for one object are ours.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response

# What flwr's routes of the Fleet API take and answer.
from flwr.proto.message_pb2 import PullObjectResponse, PushObjectRequest, PushObjectResponse
from flwr.proto.task_pb2 import Task
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from fedstate.exchange import paths
from fedstate.exchange.messages import (
    PushObjectsRequest,
    PushReplyRequest,
    SendMessagesRequest,
)
from fedstate.flower.bulk_state import BulkLinkState
from fedstate.flower.node_objects import NodeObjects, check_sender
from fedstate.flower.object_answers import pulled_object
from fedstate.flower.own_objects import OwnRunHandlers, not_its_own
from fedstate.flower.run_objects import FleetApi, RuntimeObjects
from fedstate.objects.contents import Arrived
from fedstate.objects.files import Arrival
from fedstate.objects.memory import MemoryArrival
from fedstate.objects.streaming import StreamedObjects, current_transfer

_FLEET_PULL, _RUNTIME_PULL = "/v1/fleet/pull-object", "/v1/runtime/pull-object"
_FLEET_PUSH, _RUNTIME_PUSH = "/v1/fleet/push-object", "/v1/runtime/push-object"
_PULLS = frozenset({_FLEET_PULL, _RUNTIME_PULL, paths.FLEET_PULL, paths.RUNTIME_PULL})


def _number(message: Any, name: str) -> int:
    return int(message.DESCRIPTOR.fields_by_name[name].number)


# The requests that bring contents, and the number of the field with them.
PUSHES = {
    **dict.fromkeys((_FLEET_PUSH, _RUNTIME_PUSH), _number(PushObjectRequest, "object_content")),
    **dict.fromkeys(
        (paths.FLEET_PUSH, paths.RUNTIME_PUSH), _number(PushObjectsRequest, "contents")
    ),
    paths.FLEET_REPLY: _number(PushReplyRequest, "contents"),
    paths.RUNTIME_SEND: _number(SendMessagesRequest, "contents"),
}


def _content(request: Any) -> bytes | Arrived:
    """Return the content that comes with a request for one object."""
    content: bytes = request.object_content
    transfer = current_transfer()
    if content or transfer is None or not transfer.arrived:
        return content
    return transfer.arrived[max(transfer.arrived)]


def _pull(fleet: FleetApi, request: Any) -> Any:
    if not fleet.streams:
        hidden = fleet.node_objects.hidden(
            request.node.node_id, request.run_id, [request.object_id]
        )
        return PullObjectResponse(object_found=False, object_available=False) if hidden else None
    objects = fleet.objects_of(request.run_id)
    content = objects.get(request.object_id)
    objects.count_traffic(sent=len(content or b""))
    return pulled_object(content)


def _push(fleet: FleetApi, request: Any) -> Any:
    if not fleet.streams:
        return None
    objects, content = fleet.objects_of(request.run_id), _content(request)
    stored = objects.put(request.session_id, request.object_id, content)
    objects.count_traffic(received=len(content) if stored else 0)
    return PushObjectResponse(stored=stored)


def _check_confirmation(fleet: FleetApi, request: Any) -> None:
    message_id = request.message_object_id
    if not fleet.node_objects.may_confirm(request.node.node_id, request.run_id, message_id):
        raise not_its_own(message_id)


def _check_replies(_: FleetApi, request: Any) -> None:
    check_sender(request.node.node_id, request.messages_list)


# For flwr's own routes: what raises, or returns what is answered in place of flwr's handler.
_CHECKS: Mapping[str, Callable[[FleetApi, Any], Any]] = {
    _FLEET_PULL: _pull,
    _FLEET_PUSH: _push,
    "/v1/fleet/confirm-message-received": _check_confirmation,
    "/v1/fleet/push-messages": _check_replies,
}


class _Checked:
    """Middleware behind flwr's authentication of nodes, where a request's message is known."""

    def __init__(self, app: ASGIApp, superlink: FastAPI) -> None:
        self._app = app
        self._superlink = superlink

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        check = _CHECKS.get(scope.get("path", ""))
        request = scope["state"].get("protobuf_request") if check is not None else None
        if check is not None and request is not None:
            answer = await run_in_threadpool(self._check, check, request)
            if answer is not None:
                # flwr's middleware sends what it finds there.
                scope["state"]["protobuf_response"] = answer
                await Response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, check: Callable[[FleetApi, Any], Any], request: Any) -> Any:
        state = self._superlink.state
        fleet = FleetApi(
            state.linkstate_factory.state(), state.node_objects, request.node.node_id
        )
        return check(fleet, request)


class _Handlers(OwnRunHandlers):
    """flwr's handlers of the Runtime API, but for those of one object."""

    def pull_object(self, request: Any, state: Any, task: Task) -> Any:
        """Hand out an object of the task's run."""
        if not isinstance(state, BulkLinkState):
            return self._handlers.pull_object(request, state, task)
        objects = RuntimeObjects(request.node, state, self._handlers, task)
        return pulled_object(objects.get(request.object_id))

    def push_object(self, request: Any, state: Any, task: Task) -> Any:
        """Store an object of the task's run."""
        if not isinstance(state, BulkLinkState):
            return self._handlers.push_object(request, state, task)
        objects = RuntimeObjects(request.node, state, self._handlers, task)
        stored = objects.put(request.session_id, request.object_id, _content(request))
        return PushObjectResponse(stored=stored)


def keep_objects_apart(app: FastAPI) -> None:
    """Let nodes and tasks reach the objects and messages of their own alone, at a SuperLink."""
    app.state.node_objects = NodeObjects(app.state.linkstate_factory.state)
    app.user_middleware.append(Middleware(_Checked, superlink=app))
    app.state.runtime_handlers = _Handlers(app.state.runtime_handlers)


def stream_objects(app: FastAPI) -> None:
    """Stream the large contents of objects around a SuperLink that has them in files."""
    state = app.state.linkstate_factory.state()
    if isinstance(state, BulkLinkState) and state.files is not None:
        app.add_middleware(
            StreamedObjects,
            arrival=partial(Arrival, state.files),
            pushes=PUSHES,
            pulls=_PULLS,
        )


def keep_objects_in_memory(app: FastAPI) -> None:
    """Take large contents of objects around protobuf at a SuperNode, which has them in memory.

    Those of flwr's routes for one object go through flwr's handlers.
    """
    app.add_middleware(
        StreamedObjects,
        arrival=MemoryArrival,
        pushes={path: PUSHES[path] for path in (paths.RUNTIME_PUSH, paths.RUNTIME_SEND)},
        pulls=frozenset({paths.RUNTIME_PULL}),
    )
