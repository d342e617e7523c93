"""The evidence of runs: what nodes send for it, and where `fedstate verify` reads it."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request

from fedstate.exchange import paths
from fedstate.exchange.messages import (
    EvidencePage,
    EvidenceRequest,
    NodeLog,
    PushLogRequest,
    PushLogResponse,
)
from fedstate.exchange.routes import add_routes, bounded
from fedstate.flower.evidence_state import VisibleRuns, VisibleRunsDependency, in_pages
from fedstate.flower.routing import ProtobufRequest, malformed_request, protobuf_router
from fedstate.flower.run_objects import FleetApiDependency
from fedstate.superlink.evidence_pages import SentReceipts, in_rows
from fedstate.superlink.log_requests import LogRequests
from fedstate.witness import MalformedRecordError, StepRecord

# What a node is allowed for its answer when it is asked, whatever the request says.
MAXIMUM_SECONDS = 120.0
# How long a node waits for the one who asked to take its pages.
_TAKING_SECONDS = 20.0
_RUNS_ON_A_PAGE = 1000

# A row has up to 1000 characters of a reason, and some 400 bytes beside.
MAXIMUM_RECORD_BYTES = 16 * 1024

router = protobuf_router()


def serve_evidence(app: FastAPI, log_requests: LogRequests) -> None:
    """Add the routes of the evidence to our SuperLink."""
    app.state.log_requests = log_requests
    types = {paths.FLEET_LOG: PushLogRequest, paths.CONTROL_EVIDENCE: EvidenceRequest}
    add_routes(app, types, router)


def _log_requests(request: Request) -> LogRequests:
    requests: LogRequests = request.app.state.log_requests
    return requests


LogRequestsDependency = Annotated[LogRequests, Depends(_log_requests)]


def keep_receipt(
    fleet: FleetApiDependency, node_id: int, run_id: int, message_id: str, receipt: Any
) -> None:
    """Store a receipt of a node, durable when this returns.

    It is stored as the node says it: whether it is true is for the verifier to find out.
    """
    size = len(receipt.record) + len(receipt.signature)
    if size > MAXIMUM_RECORD_BYTES:
        raise malformed_request(
            f"The receipt has {size} bytes, and {MAXIMUM_RECORD_BYTES} is the most."
        )
    fleet.evidence.receive(run_id, node_id, message_id, receipt.record, receipt.signature)


@router.post(paths.FLEET_LOG)
def fleet_push_log(
    request: ProtobufRequest, fleet: FleetApiDependency, log_requests: LogRequestsDependency
) -> PushLogResponse:
    """Take a page of a node's log that was asked for, or receipts that come before a reply."""
    node_id = request.node.node_id
    if request.request_id:
        wanted = log_requests.receive(node_id, request, _TAKING_SECONDS)
        return PushLogResponse(wanted=wanted)
    for receipt in request.receipts:
        try:
            record = StepRecord.decode(receipt.record)
        except MalformedRecordError as error:
            raise malformed_request(f"A receipt cannot be read: {error}.") from None
        keep_receipt(fleet, node_id, record.run_id, record.message_id, receipt)
    return PushLogResponse(wanted=True)


@router.post(paths.CONTROL_EVIDENCE)
def control_pull_evidence(
    request: ProtobufRequest, runs: VisibleRunsDependency, log_requests: LogRequestsDependency
) -> Iterator[EvidencePage]:
    """Return the runs of the account, or all that is known of the runs that are named."""
    if not request.run_ids:
        return (EvidencePage(runs=page) for page in in_pages(runs.all(), _RUNS_ON_A_PAGE))
    run_ids = list(dict.fromkeys(request.run_ids))
    accounts = runs.named(run_ids)
    pages = _evidence(request, accounts, run_ids, runs, log_requests)
    return pages if request.columns else map(in_rows, pages)


def _evidence(
    request: Any,
    accounts: list[Any],
    run_ids: list[int],
    runs: VisibleRuns,
    log_requests: LogRequests,
) -> Iterator[EvidencePage]:
    # Runs may go on meanwhile. A reply that is accepted has its receipt before, and a receipt its
    # row; in this order each that is read is followed by what it has to have, and no row is newer
    # than the last deliveries.
    nodes = runs.nodes()
    yield EvidencePage(runs=accounts, nodes=nodes, dropped=runs.evidence.dropped(run_ids))
    newest = runs.evidence.newest_delivery()
    for deliveries in runs.evidence.deliveries(run_ids):
        yield EvidencePage(delivery_columns=deliveries)
    sent = SentReceipts()
    for receipts in runs.evidence.receipts(run_ids):
        if request.columns:
            sent.add(receipts)
        yield EvidencePage(receipt_columns=receipts)
    if request.ask_nodes:
        seconds = bounded(request.seconds, MAXIMUM_SECONDS)
        for log in _logs(nodes, run_ids, seconds, log_requests, sent):
            yield EvidencePage(logs=[log])
        for deliveries in runs.evidence.deliveries(run_ids, after=newest):
            yield EvidencePage(later_delivery_columns=deliveries)
    # Once more: what has gone since the first time was read or not.
    dropped, began = runs.evidence.dropped(run_ids), runs.evidence.began_at()
    yield EvidencePage(dropped=dropped, account_began_at=began)


def _logs(
    nodes: list[Any],
    run_ids: list[int],
    seconds: float,
    log_requests: LogRequests,
    sent: SentReceipts,
) -> Iterator[NodeLog]:
    """Ask every node that is connected: it may have rows that the SuperLink knows nothing of."""
    answering = log_requests.answering()
    asked = set()
    for node in nodes:
        if node.status != "online":
            yield NodeLog(node_id=node.node_id, state="away")
        elif node.node_id not in answering:
            yield NodeLog(node_id=node.node_id, state="without a log")
        else:
            asked.add(node.node_id)
    for node_id, page in log_requests.ask(asked, run_ids, seconds):
        if page is None:
            yield NodeLog(node_id=node_id, state="silent")
            continue
        yield sent.log_of(node_id, page)
