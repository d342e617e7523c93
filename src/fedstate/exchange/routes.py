"""The routes that are ours, for a SuperLink's Fleet API and for everybody's Runtime API."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request

# flwr's routers are made of these, and what it authenticates and translates is in a table.
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.supercore.dependencies.runtime import (
    RuntimeHandlersDependency,
    RuntimeStateDependency,
    SuperExecAuthDependency,
    TaskDependency,
)
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.protobuf.routing import ProtobufRoute
from flwr.supercore.protobuf.translation import (
    PROTOBUF_REQUEST_DEPENDENCY,
    PROTOBUF_REQUEST_TYPES,
)

from fedstate.exchange import batches, paths
from fedstate.exchange.messages import (
    PullObjectsRequest,
    PushObjectsRequest,
    PushReplyRequest,
    WaitRequest,
    WaitResponse,
)
from fedstate.exchange.signals import Signal, Signals

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
    _check_node(request, state)
    return batches.pull(
        request, task.run_id, state, lambda one: handlers.pull_object(one, state, task)
    )


@runtime_router.post(paths.RUNTIME_PUSH)
def runtime_push_objects(
    request: _Request,
    state: RuntimeStateDependency,
    handlers: RuntimeHandlersDependency,
    task: TaskDependency,
    signals: SignalsDependency,
) -> Any:
    """Push objects of the task's run."""
    _check_node(request, state)
    answer = batches.push(
        request, task.run_id, state, lambda one: handlers.push_object(one, state, task)
    )
    signals.messages.notify()
    return answer


def _check_node(request: Any, state: object) -> None:
    """Refuse what flwr's handler for one object does, where it is not asked."""
    if isinstance(state, batches.Batches) and request.node.node_id != SUPERLINK_NODE_ID:
        raise FlowerError(ApiErrorCode.RUNTIME_UNEXPECTED_NODE_ID, "Unexpected node ID.")


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
