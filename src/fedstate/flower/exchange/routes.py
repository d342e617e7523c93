"""The routes that are ours, for a SuperLink's Fleet API and for everybody's Runtime API."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request

# flwr's routers are made of these, and what it authenticates and translates is in a table.
from flwr.proto.message_pb2 import (
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.supercore.dependencies.runtime import (
    RuntimeHandlersDependency,
    RuntimeStateDependency,
    SuperExecAuthDependency,
    TaskDependency,
)
from flwr.supercore.protobuf.routing import ProtobufRoute
from flwr.supercore.protobuf.translation import (
    PROTOBUF_REQUEST_DEPENDENCY,
    PROTOBUF_REQUEST_TYPES,
)

from fedstate.flower.exchange import paths
from fedstate.flower.exchange.messages import (
    BATCH_BYTES,
    PullObjectsRequest,
    PullObjectsResponse,
    PushObjectsRequest,
    PushObjectsResponse,
    PushReplyRequest,
    WaitRequest,
    WaitResponse,
)
from fedstate.flower.exchange.signals import Signal, Signals

# The longest that a request may wait, whatever it asks for.
_LONGEST_SECONDS = 20.0

runtime_router = APIRouter(route_class=ProtobufRoute)
replies_router = APIRouter(route_class=ProtobufRoute)

# Tells whether whoever asked is still there.
Gone = Callable[[], Awaitable[bool]]

_Request = Annotated[Any, PROTOBUF_REQUEST_DEPENDENCY]


def _signals(request: Request) -> Signals:
    signals: Signals = request.app.state.signals
    return signals


SignalsDependency = Annotated[Signals, Depends(_signals)]


def _gone(request: Request) -> Gone:
    return request.is_disconnected


_GoneDependency = Annotated[Gone, Depends(_gone)]


def serve(app: FastAPI, signals: Signals, *routers: APIRouter) -> None:
    """Add the routers to an app of flwr's, whose table of request types is extended."""
    app.state.signals = signals
    for path, request_type in {
        paths.FLEET_PULL: PullObjectsRequest,
        paths.FLEET_PUSH: PushObjectsRequest,
        paths.FLEET_REPLY: PushReplyRequest,
        paths.FLEET_WAIT: WaitRequest,
        paths.RUNTIME_PULL: PullObjectsRequest,
        paths.RUNTIME_PUSH: PushObjectsRequest,
        paths.RUNTIME_WAIT: WaitRequest,
        paths.TASKS_WAIT: WaitRequest,
    }.items():
        PROTOBUF_REQUEST_TYPES["POST", path] = request_type
    for router in routers:
        app.include_router(router)


def pull_each(request: Any, pull: Callable[[PullObjectRequest], PullObjectResponse]) -> Any:
    """Answer a batch with flwr's handler for one object, up to a bound on the answer's size.

    A large object is left out, as if it were still on its way, and is pulled alone.
    """
    answer, size = PullObjectsResponse(), 0
    for object_id in request.object_ids:
        one = pull(
            PullObjectRequest(node=request.node, run_id=request.run_id, object_id=object_id)
        )
        if len(one.object_content) >= BATCH_BYTES:
            one = PullObjectResponse(object_found=True)
        size += len(one.object_content)
        if size > BATCH_BYTES:
            break
        answer.objects.append(one)
    return answer


def push_each(request: Any, push: Callable[[PushObjectRequest], PushObjectResponse]) -> Any:
    """Store a batch with flwr's handler for one object."""
    answer = PushObjectsResponse()
    for object_id, content in zip(request.object_ids, request.contents, strict=True):
        one = PushObjectRequest(
            node=request.node,
            run_id=request.run_id,
            session_id=request.session_id,
            object_id=object_id,
            object_content=content,
        )
        answer.stored.append(push(one).stored)
    return answer


async def wait(
    signal: Signal,
    request: Any,
    signals: Signals,
    gone: Gone | None = None,
) -> Any:
    """Answer when the signal's count is not what the request has seen."""
    seconds = min(request.seconds, _LONGEST_SECONDS)
    count = await signal.wait(request.seen, seconds, signals.closing, gone, request.until)
    return WaitResponse(count=count)


@runtime_router.post(paths.RUNTIME_PULL)
def runtime_pull_objects(
    request: _Request,
    state: RuntimeStateDependency,
    handlers: RuntimeHandlersDependency,
    task: TaskDependency,
) -> Any:
    """Pull objects of the task's run."""
    return pull_each(request, lambda one: handlers.pull_object(one, state, task))


@runtime_router.post(paths.RUNTIME_PUSH)
def runtime_push_objects(
    request: _Request,
    state: RuntimeStateDependency,
    handlers: RuntimeHandlersDependency,
    task: TaskDependency,
    signals: SignalsDependency,
) -> Any:
    """Push objects of the task's run."""
    answer = push_each(request, lambda one: handlers.push_object(one, state, task))
    signals.messages.notify()
    return answer


_AcquireTaskAuth = Annotated[None, Depends(SuperExecAuthDependency(paths.ACQUIRE_TASK))]


@runtime_router.post(paths.TASKS_WAIT)
async def runtime_wait_for_tasks(
    request: _Request,
    signals: SignalsDependency,
    gone: _GoneDependency,
    _auth: _AcquireTaskAuth,
) -> Any:
    """Wait for a task, as an executor that may acquire it."""
    if signals.presence is None:
        return await wait(signals.tasks, request, signals)
    with signals.presence.holding(request.task_ids):
        return await wait(signals.tasks, request, signals, gone)


@replies_router.post(paths.RUNTIME_WAIT)
async def runtime_wait_for_replies(
    request: _Request, signals: SignalsDependency, _task: TaskDependency
) -> Any:
    """Wait for replies, as a ServerApp."""
    return await wait(signals.replies, request, signals)
