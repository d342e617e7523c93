"""Objects in batches, and waiting for messages, in the Fleet API."""

from fedstate.exchange import batches, paths
from fedstate.exchange.messages import (
    PullObjectsResponse,
    PushObjectsResponse,
    PushReplyResponse,
    WaitResponse,
)
from fedstate.exchange.routes import SignalsDependency, wait, wanted
from fedstate.flower.routing import ProtobufRequest, protobuf_router
from fedstate.flower.run_objects import FleetApiDependency
from fedstate.objects.contents import Arrived, Content
from fedstate.superlink.evidence_routes import LogRequestsDependency, keep_receipt

router = protobuf_router()


@router.post(paths.FLEET_PULL)
async def fleet_pull_objects(
    request: ProtobufRequest, fleet: FleetApiDependency, signals: SignalsDependency
) -> PullObjectsResponse:
    """Pull objects of a run."""

    def look() -> tuple[list[Content | None], bool]:
        # The run may have ended while the request waited.
        objects = fleet.objects_of(request.run_id)
        contents, to_come = batches.wanted(request, objects)
        objects.count_traffic(sent=sum(len(each or b"") for each in contents))
        return contents, to_come

    return batches.answer(await wanted(request, signals, look))


@router.post(paths.FLEET_PUSH)
def fleet_push_objects(
    request: ProtobufRequest, fleet: FleetApiDependency, signals: SignalsDependency
) -> PushObjectsResponse:
    """Store objects of a reply."""
    objects = fleet.objects_of(request.run_id)
    contents = batches.contents_of(request)
    stored = batches.store(objects, request.session_id, contents)
    objects.count_traffic(received=sum(len(contents[object_id]) for object_id in stored))
    signals.replies.notify()
    return batches.pushed(request, stored)


@router.post(paths.FLEET_REPLY)
def fleet_push_reply(
    request: ProtobufRequest, fleet: FleetApiDependency, signals: SignalsDependency
) -> PushReplyResponse:
    """Store a reply and its objects, and delete the message if all of them are stored."""
    contents = batches.contents_of(request)
    try:
        with fleet.at_once():
            _keep_receipt(request, fleet)
            response = _store_reply(request, contents, fleet)
    except Exception:
        # A reply that is refused, since its run has ended, has its receipt, too.
        _keep_receipt(request, fleet)
        raise
    signals.replies.notify()
    return response


def _keep_receipt(request: ProtobufRequest, fleet: FleetApiDependency) -> None:
    """Store the receipt before the reply: one that was accepted has its receipt."""
    if request.HasField("receipt") and request.push.messages_list:
        reply = request.push.messages_list[0].metadata
        keep_receipt(
            fleet,
            request.node.node_id,
            reply.run_id,
            reply.reply_to_message_id,
            request.receipt,
        )


def _store_reply(
    request: ProtobufRequest, contents: dict[str, bytes | Arrived], fleet: FleetApiDependency
) -> PushReplyResponse:
    push, objects = fleet.push_reply(request.push)
    wanted = set(push.objects_to_push)
    contents = {key: content for key, content in contents.items() if key in wanted}
    stored = batches.store(objects, push.session_id, contents)
    objects.count_traffic(received=sum(len(contents[object_id]) for object_id in stored))
    if request.confirm and wanted == stored:
        reply = request.push.messages_list[0].metadata
        fleet.delete_message(reply.run_id, reply.reply_to_message_id)
    return PushReplyResponse(push=push, stored=sorted(stored))


@router.post(paths.FLEET_WAIT)
async def fleet_wait_for_messages(
    request: ProtobufRequest, signals: SignalsDependency, log_requests: LogRequestsDependency
) -> WaitResponse:
    """Wait for messages, as a SuperNode; the answer may ask for its log, too."""
    response = await wait(signals.messages, request, signals)
    if request.answers_log_requests:
        response.log_requests.extend(log_requests.due(request.node.node_id))
    return response
