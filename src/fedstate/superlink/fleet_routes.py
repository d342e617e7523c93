"""Objects in batches, and waiting for messages, in the Fleet API."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

# What flwr's handlers of the Fleet API are made of; they take one object each, and ask the
# database for the run's status and count the traffic anew for every one.
from flwr.common.constant import Status
from flwr.proto.message_pb2 import (
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.server.superlink.linkstate import LinkState
from flwr.server.superlink.utils import check_abort
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.protobuf.routing import ProtobufRoute
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_DEPENDENCY
from flwr.superlink.dependencies.linkstate import get_linkstate
from flwr.superlink.servicer.fleet import fleet_handlers

from fedstate.exchange import batches, paths
from fedstate.exchange.messages import PushReplyResponse
from fedstate.exchange.routes import SignalsDependency, wait

router = APIRouter(route_class=ProtobufRoute)

_Request = Annotated[Any, PROTOBUF_REQUEST_DEPENDENCY]
_State = Annotated[LinkState, Depends(get_linkstate)]


@router.post(paths.FLEET_PULL)
def fleet_pull_objects(request: _Request, state: _State) -> Any:
    """Pull objects of a run."""

    def pull(one: PullObjectRequest) -> PullObjectResponse:
        content = state.get_object(one.run_id, one.object_id)
        return PullObjectResponse(
            object_found=content is not None,
            object_available=bool(content),
            object_content=content or b"",
        )

    _check_run(request.run_id, state)
    answer = batches.pull(request, request.run_id, state, pull)
    size = sum(len(each.object_content) for each in answer.objects)
    if size:
        state.store_traffic(request.run_id, bytes_sent=size, bytes_recv=0)
    return answer


@router.post(paths.FLEET_PUSH)
def fleet_push_objects(request: _Request, state: _State, signals: SignalsDependency) -> Any:
    """Store objects of a reply."""

    def push(one: PushObjectRequest) -> PushObjectResponse:
        stored = state.store_object(one.run_id, one.session_id, one.object_id, one.object_content)
        return PushObjectResponse(stored=stored)

    _check_run(request.run_id, state)
    answer = batches.push(request, request.run_id, state, push)
    stored = zip(request.contents, answer.stored, strict=True)
    size = sum(len(content) for content, was_stored in stored if was_stored)
    if size:
        state.store_traffic(request.run_id, bytes_sent=0, bytes_recv=size)
    signals.replies.notify()
    return answer


@router.post(paths.FLEET_REPLY)
def fleet_push_reply(request: _Request, state: _State, signals: SignalsDependency) -> Any:
    """Store a reply and its objects, and forget the message if all of them are stored."""
    push = fleet_handlers.push_messages(request.push, state)
    run_id = request.push.messages_list[0].metadata.run_id
    wanted = set(push.objects_to_push)
    contents = {
        object_id: content
        for object_id, content in zip(request.object_ids, request.contents, strict=True)
        if object_id in wanted
    }
    stored = batches.store(state, run_id, push.session_id, contents)
    size = sum(len(contents[object_id]) for object_id in stored)
    if size:
        state.store_traffic(run_id, bytes_sent=0, bytes_recv=size)
    signals.replies.notify()
    if request.confirm and wanted == stored:
        replied_to = request.push.messages_list[0].metadata.reply_to_message_id
        state.object_store.delete(replied_to)
    return PushReplyResponse(push=push, stored=sorted(stored))


@router.post(paths.FLEET_WAIT)
async def fleet_wait_for_messages(request: _Request, signals: SignalsDependency) -> Any:
    """Wait for messages, as a SuperNode."""
    return await wait(signals.messages, request, signals)


def _check_run(run_id: int, state: LinkState) -> None:
    ended = check_abort(run_id, [Status.PENDING, Status.STARTING, Status.FINISHED], state)
    if ended:
        raise FlowerError(ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED, ended)
