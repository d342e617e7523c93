"""What our SuperLink notes of messages and keeps of receipts, and who may read it."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from flwr.app import Error
from flwr.common.constant import NOOP_FLWR_AID
from tests.contract.flower.in_process import SuperLink, arrays
from tests.contract.flower.in_process_run import Node, Reply, Run, running
from tests.superlink_application import SuperLinkApplication
from tests.unit.witness.rows import rows

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.exchange.messages import (
    PushLogRequest,
    PushLogResponse,
    PushReplyRequest,
    PushReplyResponse,
    WaitRequest,
    WaitResponse,
)
from fedstate.flower.control import NoEvidenceError, RunNotFoundError
from fedstate.flower.superlink_app import IN_MEMORY_DATABASE
from fedstate.verify.superlink import gather
from fedstate.witness import record_digest
from fedstate.witness.witness_pb2 import Receipt


@pytest.fixture(scope="module", params=["file", "memory"])
def superlink(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SuperLink]:
    """Our SuperLink, on both of its states."""
    memory = request.param == "memory"
    directory = tmp_path_factory.mktemp("link")
    with SuperLink(directory, database=IN_MEMORY_DATABASE if memory else None) as running:
        yield running


@pytest.fixture
def federation(superlink: SuperLink) -> Iterator[tuple[SuperLink, Run, Node]]:
    with running(superlink) as (run, node):
        yield superlink, run, node


def evidence(superlink: SuperLink, *run_ids: int, ask_nodes: bool = False) -> Any:
    # Nodes of the tests before are asked as well, and answer no longer.
    pages = superlink.control().evidence(run_ids, ask_nodes=ask_nodes, seconds=0.1)
    return gather(pages)


def deliver(run: Run, node: Node) -> Any:
    """Send a message to a node, which pulls it; return the message as the node has it."""
    run.push(run.message(node.id, arrays(1.0)))
    return node.take(node.pull())


def push(node: Node, reply: Reply, receipt: Receipt | None) -> Any:
    """Push a reply in our way, with its receipt."""
    request = PushReplyRequest(
        node=node.proto,
        push=reply.request(node.proto),
        object_ids=list(reply.objects),
        contents=list(reply.objects.values()),
        confirm=True,
        receipt=receipt,
    )
    return ExtraRoutes(node.client).call(paths.FLEET_REPLY, request, PushReplyResponse)


RECEIPT = Receipt(record=next(rows(1)), signature=b"signature")


def test_a_delivery_and_its_answer_are_noted(
    federation: tuple[SuperLink, Run, Node],
) -> None:
    superlink, run, node = federation
    sent = run.push(run.message(node.id, arrays(1.0)))
    (of_run,) = evidence(superlink, run.id).runs
    assert of_run.nodes == {}, "nobody has pulled it"

    message = node.take(node.pull())
    (of_run,) = evidence(superlink, run.id).runs
    (delivery,) = of_run.nodes[node.id].deliveries
    assert (delivery.message_id, delivery.action) == (sent, "train")
    assert (delivery.answered_at, delivery.reply_id) == (0.0, "")

    reply = Reply(message, arrays(2.0))
    assert push(node, reply, RECEIPT).push.results
    (of_run,) = evidence(superlink, run.id).runs
    (delivery,) = of_run.nodes[node.id].deliveries
    assert delivery.answered_at >= delivery.delivered_at
    assert (delivery.reply_id, delivery.failed) == (reply.id, False)
    (receipt,) = of_run.nodes[node.id].receipts
    assert (receipt.row, receipt.signature) == (RECEIPT.record, RECEIPT.signature)


def test_flowers_own_supernode_is_noted_as_well(
    federation: tuple[SuperLink, Run, Node],
) -> None:
    superlink, run, node = federation
    node.answer(Reply(deliver(run, node), Error(0, "out of memory")))
    (of_run,) = evidence(superlink, run.id).runs
    (delivery,) = of_run.nodes[node.id].deliveries
    assert delivery.failed
    assert of_run.nodes[node.id].receipts == []


def test_a_receipt_that_comes_twice_is_kept_once_and_another_one_beside_it(
    federation: tuple[SuperLink, Run, Node],
) -> None:
    superlink, run, node = federation
    reply = Reply(deliver(run, node), arrays(2.0))
    other = Receipt(record=list(rows(2))[1], signature=b"signature")
    for receipt in (RECEIPT, RECEIPT, other, Receipt(record=RECEIPT.record, signature=b"new")):
        push(node, reply, receipt)
    (of_run,) = evidence(superlink, run.id).runs
    kept = [(each.row, each.signature) for each in of_run.nodes[node.id].receipts]
    assert kept == [(RECEIPT.record, b"signature"), (other.record, b"signature")]


def test_a_bounded_account_says_what_it_has_dropped(
    federation: tuple[SuperLink, Run, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    superlink, run, node = federation
    monkeypatch.setattr(superlink.state.evidence, "keep", 2)
    records = list(rows(4, run_id=run.id, node_id=node.id))
    for record in records:
        push(node, Reply(deliver(run, node), arrays(2.0)), Receipt(record=record))
    (of_run,) = evidence(superlink, run.id).runs
    of_node = of_run.nodes[node.id]
    assert [each.row for each in of_node.receipts] == records[2:]
    assert len(of_node.deliveries) == 2
    assert (of_node.dropped.deliveries, of_node.dropped.receipts) == (2, 2)
    assert (of_node.dropped.step, of_node.dropped.anchor) == (2, record_digest(records[1]))
    assert 0 < of_run.account_began_at < of_run.submitted_at


def test_a_reply_to_a_run_that_has_ended_leaves_its_receipt(
    federation: tuple[SuperLink, Run, Node],
) -> None:
    superlink, run, node = federation
    message = deliver(run, node)
    run.end()
    with pytest.raises(httpx.HTTPStatusError):
        push(node, Reply(message, arrays(2.0)), RECEIPT)
    (of_run,) = evidence(superlink, run.id).runs
    assert len(of_run.nodes[node.id].receipts) == 1
    assert of_run.nodes[node.id].deliveries[0].answered_at == 0.0
    assert of_run.status == "finished:completed"


def test_receipts_may_come_before_a_large_reply(
    federation: tuple[SuperLink, Run, Node],
) -> None:
    superlink, run, node = federation
    deliver(run, node)
    row = next(rows(1, run_id=run.id))
    request = PushLogRequest(node=node.proto, receipts=[Receipt(record=row, signature=b"s")])
    answer = ExtraRoutes(node.client).call(paths.FLEET_LOG, request, PushLogResponse)
    assert answer.wanted
    (of_run,) = evidence(superlink, run.id).runs
    assert [each.row for each in of_run.nodes[node.id].receipts] == [row]


@pytest.mark.parametrize("record", [b"no row", b"x" * 20_000])
def test_a_receipt_that_is_none_is_refused(
    federation: tuple[SuperLink, Run, Node], record: bytes
) -> None:
    _, _, node = federation
    request = PushLogRequest(node=node.proto, receipts=[Receipt(record=record)])
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        ExtraRoutes(node.client).call(paths.FLEET_LOG, request, PushLogResponse)


def test_a_node_is_asked_through_its_wait_and_answers_in_pages(
    federation: tuple[SuperLink, Run, Node],
) -> None:
    superlink, run, node = federation
    deliver(run, node)
    routes = ExtraRoutes(node.client)
    wait = WaitRequest(node=node.proto, answers_log_requests=True)
    routes.call(paths.FLEET_WAIT, wait, WaitResponse)
    received: list[Any] = []
    control = superlink.control()
    reading = threading.Thread(
        target=lambda: received.extend(control.evidence([run.id], seconds=60))
    )
    reading.start()
    asked: list[Any] = []
    while not asked:
        asked = list(routes.call(paths.FLEET_WAIT, wait, WaitResponse).log_requests)
    assert list(asked[0].run_ids) == [run.id]
    row = next(rows(1, run_id=run.id, node_id=node.id))
    for last in (False, True):
        page = PushLogRequest(
            node=node.proto,
            request_id=asked[0].request_id,
            receipts=[] if last else [Receipt(record=row)],
            last=last,
            store_id="store",
        )
        assert routes.call(paths.FLEET_LOG, page, PushLogResponse).wanted
    reading.join(60)
    gathered = gather(received)
    assert gathered.answers[node.id].state == "answered"
    assert gathered.answers[node.id].store_id == "store"
    (of_run,) = gathered.runs
    assert [each.row for each in of_run.nodes[node.id].rows] == [row]


def test_a_node_without_our_wait_has_no_log_and_one_that_left_is_away_with_its_key(
    federation: tuple[SuperLink, Run, Node],
) -> None:
    superlink, run, node = federation
    deliver(run, node)
    found = evidence(superlink, run.id, ask_nodes=True)
    assert found.answers[node.id].state == "without a log"
    superlink.state.delete_node(NOOP_FLWR_AID, node.id)
    found = evidence(superlink, run.id, ask_nodes=True)
    assert found.answers[node.id].state == "away"
    assert found.keys[node.id] == node.public_key


def test_the_runs_of_the_account_are_listed_with_their_status(
    federation: tuple[SuperLink, Run, Node],
) -> None:
    superlink, run, _ = federation
    listed = {each.run_id: each for each in evidence(superlink).runs}
    assert listed[run.id].status == "running"
    assert listed[run.id].submitted_at > 0
    assert listed[run.id].series_id
    assert superlink.control().run_statuses()[run.id] == "running"


def test_a_run_that_is_not_there_is_named(superlink: SuperLink) -> None:
    with pytest.raises(RunNotFoundError):
        evidence(superlink, 7)


def test_a_run_of_a_federation_that_is_not_the_accounts_is_refused(
    federation: tuple[SuperLink, Run, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As flwr refuses to show it: the route asks flwr's own function."""
    superlink, run, _ = federation
    manager = superlink.state.federation_manager
    monkeypatch.setattr(type(manager), "has_member", lambda *_: False)
    with pytest.raises(Exception, match="says") as refused:
        evidence(superlink, run.id)
    assert "not" in str(refused.value).lower()


def test_the_tables_are_added_to_a_database_that_is_there_and_flwr_goes_on_with_it(
    tmp_path: Path,
) -> None:
    def tables() -> set[str]:
        with closing(sqlite3.connect(tmp_path / "superlink.db")) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {name for (name,) in found}

    ours = {f"fedstate_{name}" for name in ("delivery", "receipt", "dropped", "account")}
    SuperLinkApplication(tmp_path, ours=False).close()
    assert not ours & tables()
    SuperLinkApplication(tmp_path).close()
    assert ours <= tables()
    again = SuperLinkApplication(tmp_path, ours=False)
    assert list(again.state.get_run_info()) == []
    again.close()


def test_flowers_own_superlink_keeps_no_evidence(tmp_path: Path) -> None:
    with SuperLink(tmp_path, ours=False) as stock:
        with pytest.raises(NoEvidenceError, match="start it with `fedstate superlink`"):
            evidence(stock)
        assert stock.control().run_statuses() == {}


def test_a_serverapp_has_no_route_to_it(superlink: SuperLink) -> None:
    """Only the route of the Control API and those of the Fleet API name what is in the tables."""
    ours = [path for name, path in vars(paths).items() if name.isupper()]
    assert [each for each in ours if "evidence" in each or "log" in each] == [
        paths.CONTROL_EVIDENCE,
        paths.FLEET_LOG,
    ]
    assert not any(hasattr(superlink.state, name) for name in ("deliveries", "receipts"))
