"""Runs at a real SuperLink, with nodes that answer for their logs as our SuperNode does."""

import functools
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
from anyio.from_thread import start_blocking_portal
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.exchange.messages import (
    PushLogRequest,
    PushLogResponse,
    RunLog,
    WaitRequest,
    WaitResponse,
)
from fedstate.flower.fleet_client import fleet_client
from fedstate.flower.messages import Node as NodeProto
from fedstate.flower.own_key import OwnKey
from fedstate.verify.evidence import RunEvidence
from fedstate.witness.witness_pb2 import Receipt
from tests.unit.superlink_in_process import SuperLink
from tests.unit.verify.made import KEYS, World, kept, key_of, public

ROWS_ON_A_PAGE = 2000
_AN_HOUR = 3600.0


def register(superlink: SuperLink) -> int:
    """Register a node that is online; return its ID, by which its key is known to `made`."""
    KEYS["new"] = ec.generate_private_key(ec.SECP384R1())
    node_id = int(superlink.state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, public("new"), 0))
    KEYS[node_id] = KEYS.pop("new")
    assert superlink.state.activate_node(node_id, _AN_HOUR)
    return node_id


def runs_at(superlink: SuperLink, runs: int, nodes: int, rounds: int) -> World:
    """Return runs that have completed, which are at the SuperLink as nodes have made them."""
    run_ids = tuple(superlink.start_run() for _ in range(runs))
    world = kept(run_ids, tuple(register(superlink) for _ in range(nodes)), rounds)
    for run in world.evidence.runs:
        note(superlink, run)
        superlink.end_run(run.run_id)
    return world


def note(superlink: SuperLink, run: RunEvidence) -> None:
    """Note what was delivered and received, as the SuperLink's own handlers do."""
    evidence = superlink.state.evidence
    for node in run.nodes.values():
        for delivery, receipt in zip(node.deliveries, node.receipts, strict=True):
            evidence.delivered(node.node_id, [_message(run, node.node_id, delivery)])
            evidence.receive(
                *(run.run_id, node.node_id, delivery.message_id),
                *(receipt.row, receipt.signature),
            )
            evidence.answered(_message(run, node.node_id, delivery))


def _message(run: RunEvidence, node_id: int, delivery: Any) -> Any:
    metadata = SimpleNamespace(
        run_id=run.run_id,
        src_node_id=node_id,
        message_id=delivery.message_id,
        reply_to_message_id=delivery.message_id,
        group_id=delivery.group_id,
        message_type=delivery.action,
    )
    return SimpleNamespace(metadata=metadata, has_error=lambda: delivery.failed)


# Returns the pages that a node answers to a request for its log.
Pages = Callable[[int, Any], Iterable[PushLogRequest]]


def answering(superlink: SuperLink, world: World) -> AbstractContextManager[None]:
    """Let the nodes of a world wait for messages, and answer what they are asked."""
    return answering_with(superlink, world.nodes, functools.partial(pages_of, world))


@contextmanager
def answering_with(
    superlink: SuperLink, node_ids: Collection[int], pages: Pages
) -> Iterator[None]:
    """Let nodes wait for messages, and answer with pages; afterwards they are away.

    Whoever verifies asks every node that is there, also for runs of others.
    """
    for node_id in node_ids:
        superlink.state.activate_node(node_id, _AN_HOUR)
    ended = threading.Event()
    threads = [
        threading.Thread(target=_answer, args=(superlink, pages, node_id, ended))
        for node_id in node_ids
    ]
    # Real nodes keep their connections: not a loop and a thread for each request.
    with start_blocking_portal() as portal:
        superlink._client.portal = portal
        try:
            yield from _served(superlink, node_ids, threads, ended)
        finally:
            superlink._client.portal = None


def _served(
    superlink: SuperLink,
    node_ids: Collection[int],
    threads: Sequence[threading.Thread],
    ended: threading.Event,
) -> Iterator[None]:
    for thread in threads:
        thread.start()
    requests = superlink.app.state.log_requests
    while not requests.answering() >= set(node_ids):
        ended.wait(0.01)
    try:
        yield
    finally:
        ended.set()
        superlink.signals.messages.notify()
        for thread in threads:
            thread.join(60)
        for node_id in node_ids:
            assert superlink.state.deactivate_node(node_id)


def _answer(superlink: SuperLink, pages: Pages, node_id: int, ended: threading.Event) -> None:
    key = key_of(node_id)
    client = fleet_client(
        "superlink:1",
        OwnKey((key, key.public_key())),
        insecure=True,
        root_certificates=None,
        carrier=superlink.connection(),
    )
    routes, node, seen = ExtraRoutes(client), NodeProto(node_id=node_id), 0
    while not ended.is_set():
        wait = WaitRequest(node=node, seen=seen, seconds=2.0, answers_log_requests=True)
        try:
            response = routes.call(paths.FLEET_WAIT, wait, WaitResponse)
            seen = response.count
            for request in response.log_requests:
                for page in pages(node_id, request):
                    if not routes.call(paths.FLEET_LOG, page, PushLogResponse).wanted:
                        break
        except httpx.HTTPError:
            if not ended.is_set():
                raise
    client.close()


def pages_of(world: World, node_id: int, request: Any) -> Iterator[PushLogRequest]:
    """Yield what a node answers to a request for its log."""
    node, proto = world.nodes[node_id], NodeProto(node_id=node_id)
    asked = [run for run in world.evidence.runs if run.run_id in set(request.run_ids)]
    taking_part = [run for run in asked if node_id in run.nodes]
    rows = [row for run in taking_part for row in run.nodes[node_id].rows]
    for start in range(0, len(rows), ROWS_ON_A_PAGE):
        page = rows[start : start + ROWS_ON_A_PAGE]
        yield PushLogRequest(
            node=proto,
            request_id=request.request_id,
            receipts=[Receipt(record=each.row, signature=each.signature) for each in page],
        )
    yield PushLogRequest(
        node=proto,
        request_id=request.request_id,
        runs=list(_logs(taking_part, node_id)),
        last=True,
        store_id=node.store_id,
        opening=node.opening,
        generation=node.generation,
    )


def _logs(runs: Sequence[RunEvidence], node_id: int) -> Iterator[RunLog]:
    for run in runs:
        log = run.nodes[node_id].log
        assert log is not None
        yield RunLog(
            run_id=run.run_id,
            present=log.present,
            complete=log.complete,
            length=log.length,
            pruned=log.pruned,
            anchor=log.anchor,
            head=log.head,
            held=log.held,
        )
