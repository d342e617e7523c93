"""The routes that fedstate adds: to a SuperLink's Fleet API, and to everybody's Runtime API."""

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.concurrency import run_in_threadpool

from fedstate.exchange import batches, paths
from fedstate.exchange.messages import (
    PullObjectsRequest,
    PullObjectsResponse,
    PushObjectsRequest,
    PushObjectsResponse,
    PushReplyRequest,
    SendMessagesRequest,
    SendMessagesResponse,
    WaitRequest,
    WaitResponse,
)
from fedstate.exchange.signals import NEVER, Signal, Signals
from fedstate.flower.routing import (
    AuthenticatedTask,
    ProtobufRequest,
    executor_dependency,
    protobuf_router,
    register_requests,
)
from fedstate.flower.run_objects import RuntimeObjectsDependency
from fedstate.flower.task_messages import TaskMessagesDependency
from fedstate.objects.contents import Content

# The longest that a request may wait, whatever it asks for.
MAXIMUM_WAIT_SECONDS = 60.0


def bounded(number: float, most: float = MAXIMUM_WAIT_SECONDS) -> float:
    """Return a number that a client has sent, at least 0 and at most `most`; 0 if it is none.

    A timer with what is not a number never ends, or always has.
    """
    return 0.0 if math.isnan(number) else min(max(number, 0.0), most)


runtime_router = protobuf_router()
replies_router = protobuf_router()

# Returns when the client has disconnected.
Disconnected = Callable[[], Awaitable[None]]


def _signals(request: Request) -> Signals:
    signals: Signals = request.app.state.signals
    return signals


SignalsDependency = Annotated[Signals, Depends(_signals)]


def _disconnected(request: Request) -> Disconnected:
    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return disconnected


_DisconnectedDependency = Annotated[Disconnected, Depends(_disconnected)]


def serve(app: FastAPI, signals: Signals, *routers: APIRouter) -> None:
    """Add routers to an application of flwr's."""
    app.state.signals = signals
    add_routes(
        app,
        {
            paths.FLEET_PULL: PullObjectsRequest,
            paths.FLEET_PUSH: PushObjectsRequest,
            paths.FLEET_REPLY: PushReplyRequest,
            paths.FLEET_WAIT: WaitRequest,
            paths.RUNTIME_PULL: PullObjectsRequest,
            paths.RUNTIME_PUSH: PushObjectsRequest,
            paths.RUNTIME_SEND: SendMessagesRequest,
            paths.RUNTIME_WAIT: WaitRequest,
            paths.TASKS_WAIT: WaitRequest,
        },
        *routers,
    )


def add_routes(app: FastAPI, requests: Mapping[str, type], *routers: APIRouter) -> None:
    """Add routers to an application of flwr's, and the types of the requests to each path."""
    register_requests(requests)
    for router in routers:
        app.include_router(router)


async def wait(
    signal: Signal,
    request: Any,
    signals: Signals,
    disconnected: Disconnected | None = None,
) -> WaitResponse:
    """Answer when the signal's count is not what the request has seen.

    A request that names runs is also answered when one of them has ended. That of an executor
    which knows the count of ends is answered when a task that it names has ended, and whenever
    anything has: it may have acquired a task meanwhile.
    """
    answer, ends = WaitResponse(tells_all_tasks=signals.tells_all_tasks), signals.ends
    # An executor of an older release names tasks, and would ask again and again.
    tells = ends is not None and bool(request.run_ids or request.ends)

    async def ended() -> bool:
        if ends is None:
            return False
        answer.ends = ends.count
        tasks, runs = await ends.among(request.task_ids, request.run_ids)
        answer.ended_task_ids[:] = tasks
        answer.ended_run_ids[:] = runs
        return bool(tasks or runs or (request.ends and answer.ends != request.ends))

    seconds = bounded(request.seconds)
    answer.ends = 0 if ends is None else ends.count
    answer.count = await signal.wait(
        request.seen,
        seconds,
        signals.closing,
        disconnected,
        request.until,
        over=ended if tells else None,
    )
    if tells:
        await ended()  # where there is always another message, the wait has not looked
    return answer


async def wanted(
    request: Any, signals: Signals, look: Callable[[], tuple[list[Content | None], bool]]
) -> list[Content | None]:
    """Return the contents for a `PullObjectsRequest`, once some of the objects have come.

    Parameters
    ----------
    request : PullObjectsRequest
        The request, which says how long to wait.
    signals : Signals
        The server's notifications.
    look : callable
        Returns what `batches.wanted` does; it is called on another thread.
    """
    contents: list[Content | None] = []

    async def over() -> bool:
        nonlocal contents
        contents, to_come = await run_in_threadpool(look)
        return not to_come

    seconds = bounded(request.seconds)
    if not await over() and seconds:
        await signals.objects.wait(0, seconds, signals.closing, until=NEVER, over=over)
    return contents


@runtime_router.post(paths.RUNTIME_PULL)
async def runtime_pull_objects(
    request: ProtobufRequest, objects: RuntimeObjectsDependency, signals: SignalsDependency
) -> PullObjectsResponse:
    """Pull objects of the task's run."""
    return batches.answer(
        await wanted(request, signals, lambda: batches.wanted(request, objects))
    )


@runtime_router.post(paths.RUNTIME_PUSH)
def runtime_push_objects(
    request: ProtobufRequest, objects: RuntimeObjectsDependency, signals: SignalsDependency
) -> PushObjectsResponse:
    """Push objects of the task's run."""
    answer = batches.push(request, objects)
    signals.messages.notify()
    return answer


@runtime_router.post(paths.RUNTIME_SEND)
def runtime_send_messages(
    request: ProtobufRequest, messages: TaskMessagesDependency, signals: SignalsDependency
) -> SendMessagesResponse:
    """Store messages and their objects, as a ServerApp or a ClientApp."""
    contents = batches.contents_of(request)
    answer, stored = messages.send(request.push, contents, request.confirmed)
    signals.messages.notify()
    return SendMessagesResponse(push=answer, stored=sorted(stored))


_ExecutorAuth = Annotated[None, executor_dependency(paths.ACQUIRE_TASK)]


@runtime_router.post(paths.TASKS_WAIT)
async def runtime_wait_for_tasks(
    request: ProtobufRequest,
    signals: SignalsDependency,
    disconnected: _DisconnectedDependency,
    _auth: _ExecutorAuth,
) -> WaitResponse:
    """Wait for a task, as an executor that may acquire it."""
    if signals.presence is None:
        return await wait(signals.tasks, request, signals)
    with signals.presence.holding(request.task_ids):
        return await wait(signals.tasks, request, signals, disconnected)


@replies_router.post(paths.RUNTIME_WAIT)
async def runtime_wait_for_replies(
    request: ProtobufRequest, signals: SignalsDependency, task: AuthenticatedTask
) -> WaitResponse:
    """Wait for replies, as a ServerApp."""
    # What has become of other runs and tasks is not for its ears.
    del request.task_ids[:]
    request.run_ids[:] = [each for each in request.run_ids if each == task.run_id]
    return await wait(signals.replies, request, signals)
